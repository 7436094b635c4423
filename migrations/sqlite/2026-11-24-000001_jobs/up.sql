-- Timestamps are UTC text `YYYY-MM-DD HH:MM:SS.ffffff`; JSON is text. The defaults serve rows that people insert by
-- hand; Reclaimer binds every value itself. `status` and the JSON columns carry no CHECK: a row that some other
-- program broke must be set aside by Reclaimer with a reason, not make that program's transaction fail at night.

CREATE TABLE account (
    id                       TEXT NOT NULL PRIMARY KEY,
    user_id                  TEXT NOT NULL,
    provider                 TEXT NOT NULL,
    access_token             TEXT,
    refresh_token            TEXT,
    access_token_expires_at  TEXT,
    refresh_token_expires_at TEXT,
    created_at               TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    updated_at               TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    erased_at                TEXT
) STRICT;

CREATE TABLE job (
    id               TEXT NOT NULL PRIMARY KEY,
    queue            TEXT NOT NULL DEFAULT 'default',
    command          TEXT NOT NULL,
    full_path        TEXT,
    account_id       TEXT REFERENCES account (id),
    spawned_from     TEXT REFERENCES job (id) ON DELETE SET NULL,
    payload          TEXT NOT NULL DEFAULT '{}',
    status           TEXT NOT NULL DEFAULT 'queued',
    priority         INTEGER NOT NULL DEFAULT 0,
    progress         TEXT NOT NULL DEFAULT '{}',
    resume_state     TEXT,
    attempt          INTEGER NOT NULL DEFAULT 0,
    max_attempts     INTEGER NOT NULL DEFAULT 5,
    recoveries       INTEGER NOT NULL DEFAULT 0,
    recover_after    TEXT,
    run_at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    timeout_seconds  INTEGER,
    unique_key       TEXT,
    worker_id        TEXT,
    lease_token      TEXT,
    lease_expires_at TEXT,
    -- 1 while the lease lives on a grace for our own absence.
    lease_excused    INTEGER NOT NULL DEFAULT 0,
    lease_epoch      INTEGER NOT NULL DEFAULT 0,
    lease_losses     INTEGER NOT NULL DEFAULT 0,
    -- The last lease that ended by a report or a cancel: its token, and JSON of its worker and what the job became.
    ended_lease      TEXT,
    ended_as         TEXT,
    -- The worker's timestamp and the digest of the last stamped report under the current lease, as JSON.
    last_report      TEXT,
    created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    updated_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    started_at       TEXT,
    finished_at      TEXT
) STRICT;

-- What claims look for: of queues, and of commands.
CREATE INDEX job_claim_queue ON job (queue, priority, run_at, id) WHERE status = 'queued';
CREATE INDEX job_claim_command ON job (command, priority, run_at, id) WHERE status = 'queued';
-- What recovery looks for.
CREATE INDEX job_running ON job (lease_expires_at) WHERE status = 'running';
-- What a worker holds.
CREATE INDEX job_worker ON job (worker_id) WHERE status = 'running';
CREATE INDEX job_failed ON job (id, recover_after) WHERE status = 'failed';
-- Rows that other programs spoiled so that no other search finds them: an unknown status, or a stamp in another form (RFC
-- 3339 has a T where ours have a space), which does not compare as text.
CREATE INDEX job_strange ON job (id)
    WHERE status NOT IN ('queued', 'running', 'finished', 'failed', 'paused', 'cancelled', 'quarantined')
    OR (status IN ('queued', 'running', 'failed') AND (substr(run_at, 11, 1) <> ' '
    OR substr(lease_expires_at, 11, 1) <> ' ' OR substr(recover_after, 11, 1) <> ' '));
-- How signs of life find their job, and how a cancelled holder learns of it.
CREATE UNIQUE INDEX job_lease ON job (lease_token) WHERE lease_token IS NOT NULL;
CREATE INDEX job_cancelled_lease ON job (ended_lease) WHERE status = 'cancelled' AND ended_lease IS NOT NULL;
-- At most one live job per key.
CREATE UNIQUE INDEX job_unique_key ON job (unique_key)
    WHERE unique_key IS NOT NULL AND status NOT IN ('finished', 'cancelled');
-- Which jobs an area has; which discovery an account had last.
CREATE INDEX job_path ON job (full_path, command) WHERE full_path IS NOT NULL;
CREATE INDEX job_account ON job (account_id, command, id) WHERE account_id IS NOT NULL;
-- Which jobs a job created, for when it is deleted.
CREATE INDEX job_spawned ON job (spawned_from) WHERE spawned_from IS NOT NULL;

CREATE TABLE area (
    full_path   TEXT NOT NULL PRIMARY KEY,
    external_id TEXT,
    name        TEXT,
    type        TEXT NOT NULL,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
) STRICT;

-- Append-only; ids grow in the order things happened.
CREATE TABLE job_event (
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
CREATE INDEX job_event_job ON job_event (job_id, id);

CREATE TABLE recovery_run (
    id          TEXT NOT NULL PRIMARY KEY,
    type        TEXT NOT NULL,
    trigger     TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT,
    report      TEXT
) STRICT;

-- The one place for a recovery cycle: whoever has the row runs, until its moment passes.
CREATE TABLE recovery_place (
    name       TEXT NOT NULL PRIMARY KEY,
    run_id     TEXT NOT NULL,
    held_until TEXT NOT NULL
) STRICT;

CREATE TABLE queue (
    name       TEXT NOT NULL PRIMARY KEY,
    paused     INTEGER NOT NULL DEFAULT 0,
    updated_at TEXT NOT NULL
) STRICT;

-- Orders carried out under an idempotency key, with their answer; kept for a day.
CREATE TABLE idempotency (
    key        TEXT NOT NULL PRIMARY KEY,
    digest     TEXT NOT NULL,
    answer     TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Written by the readiness probe, which proves thereby that the database can be written.
CREATE TABLE probe (
    name TEXT NOT NULL PRIMARY KEY,
    at   TEXT NOT NULL
) STRICT;
