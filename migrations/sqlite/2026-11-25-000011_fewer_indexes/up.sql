-- Every change of a job opens every index that its state decides about, whether it belongs in it or not: one index for all
-- that is rare instead of one for each kind, and one for all that is over. Statements that use them repeat the condition word
-- for word.

-- Rows that somebody looks for, and of which few exist: jobs that failed, rest, or were set aside, an unknown status, stamps
-- in another form (RFC 3339 has a T where ours have a space), which do not compare as text, and jobs that are to be started.
DROP INDEX job_failed;
DROP INDEX job_paused;
DROP INDEX job_quarantined;
DROP INDEX job_strange;
DROP INDEX job_odd_stamp;
DROP INDEX job_pending_start;
CREATE INDEX job_rare ON job (status, id)
    WHERE (status <> 'queued' AND status <> 'running' AND status <> 'finished' AND status <> 'cancelled')
    OR (status = 'queued' AND (substr(run_at, 11, 1) <> ' ' OR instr(progress, '"pendingStart":true') > 0))
    OR (status = 'running' AND (substr(lease_expires_at, 11, 1) <> ' ' OR substr(recover_after, 11, 1) <> ' '));

-- What is over, and since when.
DROP INDEX job_finished;
DROP INDEX job_given_up;
CREATE INDEX job_over ON job (status, coalesce(finished_at, updated_at))
    WHERE status = 'finished' OR status = 'cancelled';

-- What a worker holds is asked when it connects anew, and found among the running jobs.
DROP INDEX job_worker;

-- A list in a condition is built anew at each write.
DROP INDEX job_unique_key;
CREATE UNIQUE INDEX job_unique_key ON job (unique_key)
    WHERE unique_key IS NOT NULL AND status <> 'finished' AND status <> 'cancelled';
