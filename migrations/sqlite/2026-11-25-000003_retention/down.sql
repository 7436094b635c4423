DELETE FROM job_event WHERE job_id NOT IN (SELECT id FROM job);
CREATE TABLE job_event_old (
    id          INTEGER PRIMARY KEY,
    job_id      TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    at          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT,
    actor       TEXT NOT NULL,
    rule        TEXT,
    reason      TEXT,
    detail      TEXT
) STRICT;
INSERT INTO job_event_old SELECT id, job_id, at, kind, from_status, to_status, actor, rule, reason, detail FROM job_event;
DROP TABLE job_event;
ALTER TABLE job_event_old RENAME TO job_event;
CREATE INDEX job_event_job ON job_event (job_id, id);
DROP TABLE past_job;
DROP INDEX job_given_up;
DROP INDEX job_finished;
