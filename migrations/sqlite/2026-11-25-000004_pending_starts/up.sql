-- Which jobs wait to be started on a worker. No JSON function here: a row that another program spoiled must not make that
-- program's statement fail.
CREATE INDEX job_pending_start ON job (id) WHERE status = 'queued' AND instr(progress, '"pendingStart":true') > 0;
