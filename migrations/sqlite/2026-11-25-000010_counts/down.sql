DROP INDEX job_odd_stamp;
DROP INDEX job_strange;
CREATE INDEX job_strange ON job (id)
    WHERE status NOT IN ('queued', 'running', 'finished', 'failed', 'paused', 'cancelled', 'quarantined')
    OR (status IN ('queued', 'running', 'failed') AND (substr(run_at, 11, 1) <> ' '
    OR substr(lease_expires_at, 11, 1) <> ' ' OR substr(recover_after, 11, 1) <> ' '));
DROP INDEX job_quarantined;
DROP INDEX job_paused;
DROP TRIGGER job_uncount;
DROP INDEX job_uncounted;
ALTER TABLE job DROP COLUMN counted_as;
ALTER TABLE job DROP COLUMN counted_in;
DROP TABLE job_count;
