DROP INDEX job_unique_key;
CREATE UNIQUE INDEX job_unique_key ON job (unique_key)
    WHERE unique_key IS NOT NULL AND status NOT IN ('finished', 'cancelled');
CREATE INDEX job_worker ON job (worker_id) WHERE status = 'running';
DROP INDEX job_over;
CREATE INDEX job_finished ON job (coalesce(finished_at, updated_at)) WHERE status = 'finished';
CREATE INDEX job_given_up ON job (coalesce(finished_at, updated_at)) WHERE status = 'cancelled';
DROP INDEX job_rare;
CREATE INDEX job_failed ON job (id, recover_after) WHERE status = 'failed';
CREATE INDEX job_paused ON job (id) WHERE status = 'paused';
CREATE INDEX job_quarantined ON job (id) WHERE status = 'quarantined';
CREATE INDEX job_strange ON job (id)
    WHERE status <> 'queued' AND status <> 'running' AND status <> 'finished' AND status <> 'failed'
    AND status <> 'cancelled' AND status <> 'paused' AND status <> 'quarantined';
CREATE INDEX job_odd_stamp ON job (id)
    WHERE (status = 'queued' AND substr(run_at, 11, 1) <> ' ')
    OR (status = 'running' AND (substr(lease_expires_at, 11, 1) <> ' ' OR substr(recover_after, 11, 1) <> ' '))
    OR (status = 'failed' AND substr(recover_after, 11, 1) <> ' ');
CREATE INDEX job_pending_start ON job (id) WHERE status = 'queued' AND instr(progress, '"pendingStart":true') > 0;
