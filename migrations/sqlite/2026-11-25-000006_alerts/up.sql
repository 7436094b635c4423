-- What alerting must not forget over a restart, per server: `value` is an incident or a message as JSON, `position` its
-- place in its list.
CREATE TABLE alert (
    owner    TEXT NOT NULL,
    kind     TEXT NOT NULL,
    position INTEGER NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (owner, kind, position)
) STRICT, WITHOUT ROWID;
