DROP INDEX job_pending_start;
