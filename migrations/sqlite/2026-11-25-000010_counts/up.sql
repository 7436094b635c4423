-- How many jobs each queue has in each state, so that nobody has to look through the table to know. Reclaimer keeps it up
-- to date with what it writes itself. `counted_in` and `counted_as` are the queue and the status under which a row is
-- counted: rows that other programs wrote or changed differ in them, and are found by an index that holds no others.
CREATE TABLE job_count (
    queue  TEXT NOT NULL,
    status TEXT NOT NULL,
    jobs   INTEGER NOT NULL,
    PRIMARY KEY (queue, status)
) STRICT, WITHOUT ROWID;
ALTER TABLE job ADD COLUMN counted_in TEXT;
ALTER TABLE job ADD COLUMN counted_as TEXT;
UPDATE job SET counted_in = queue, counted_as = status;
INSERT INTO job_count (queue, status, jobs) SELECT queue, status, count(*) FROM job GROUP BY queue, status;
CREATE INDEX job_uncounted ON job (queue, status, counted_in, counted_as)
    WHERE counted_in IS NOT queue OR counted_as IS NOT status;
-- However a row goes, its count goes with it.
CREATE TRIGGER job_uncount AFTER DELETE ON job WHEN old.counted_in IS NOT NULL BEGIN
    UPDATE job_count SET jobs = jobs - 1 WHERE queue = old.counted_in AND status = old.counted_as;
END;

-- Lists of states in which few jobs are.
CREATE INDEX job_paused ON job (id) WHERE status = 'paused';
CREATE INDEX job_quarantined ON job (id) WHERE status = 'quarantined';

-- Rows that other programs spoiled so that no other search finds them: an unknown status, or a stamp in another form (RFC
-- 3339 has a T where ours have a space), which does not compare as text. In two indexes without lists: each write
-- builds a list anew to look into it.
DROP INDEX job_strange;
CREATE INDEX job_strange ON job (id)
    WHERE status <> 'queued' AND status <> 'running' AND status <> 'finished' AND status <> 'failed'
    AND status <> 'cancelled' AND status <> 'paused' AND status <> 'quarantined';
CREATE INDEX job_odd_stamp ON job (id)
    WHERE (status = 'queued' AND substr(run_at, 11, 1) <> ' ')
    OR (status = 'running' AND (substr(lease_expires_at, 11, 1) <> ' ' OR substr(recover_after, 11, 1) <> ' '))
    OR (status = 'failed' AND substr(recover_after, 11, 1) <> ' ');
