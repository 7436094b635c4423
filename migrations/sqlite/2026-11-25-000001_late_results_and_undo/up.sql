-- Results that came after their sender had lost the job, kept so that a person may accept them; `report` is JSON.
CREATE TABLE late_result (
    job_id      TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    at          TEXT NOT NULL,
    worker_id   TEXT NOT NULL,
    lease       TEXT NOT NULL,
    summary     TEXT NOT NULL,
    report      TEXT NOT NULL,
    accepted_at TEXT,
    PRIMARY KEY (job_id, number)
) STRICT;

-- What a recovery run changed of a job last, as it was before; the rest of the row no run changes. `at` is when.
CREATE TABLE recovery_change (
    job_id           TEXT NOT NULL PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
    run_id           TEXT NOT NULL,
    at               TEXT NOT NULL,
    queue            TEXT NOT NULL,
    status           TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    progress         TEXT NOT NULL,
    attempt          INTEGER NOT NULL,
    recoveries       INTEGER NOT NULL,
    recover_after    TEXT,
    run_at           TEXT NOT NULL,
    worker_id        TEXT,
    lease_token      TEXT,
    lease_expires_at TEXT,
    lease_excused    INTEGER NOT NULL,
    lease_epoch      INTEGER NOT NULL,
    lease_losses     INTEGER NOT NULL,
    updated_at       TEXT NOT NULL,
    finished_at      TEXT
) STRICT;
CREATE INDEX recovery_change_run ON recovery_change (run_id);
