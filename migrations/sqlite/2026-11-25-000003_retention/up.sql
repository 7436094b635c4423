-- What retention looks for. Rows that people inserted by hand may have no end: their last update stands in for it.
CREATE INDEX job_finished ON job (coalesce(finished_at, updated_at)) WHERE status = 'finished';
CREATE INDEX job_given_up ON job (coalesce(finished_at, updated_at)) WHERE status = 'cancelled';

-- What the history still needs of jobs that were removed. It outlives them, so that policies can be tried on it.
CREATE TABLE past_job (
    id           TEXT NOT NULL PRIMARY KEY,
    queue        TEXT NOT NULL,
    command      TEXT NOT NULL,
    account_id   TEXT,
    max_attempts INTEGER NOT NULL,
    removed_at   TEXT NOT NULL
) STRICT;
CREATE INDEX past_job_removed ON past_job (removed_at);

-- Events no longer go with their job.
CREATE TABLE job_event_new (
    id          INTEGER PRIMARY KEY,
    job_id      TEXT NOT NULL,
    at          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT,
    actor       TEXT NOT NULL,
    rule        TEXT,
    reason      TEXT,
    detail      TEXT
) STRICT;
INSERT INTO job_event_new SELECT id, job_id, at, kind, from_status, to_status, actor, rule, reason, detail FROM job_event;
DROP TABLE job_event;
ALTER TABLE job_event_new RENAME TO job_event;
CREATE INDEX job_event_job ON job_event (job_id, id);
