-- Times are ms since the epoch. Ids of messages and jobs are drawn from the clock in microseconds, never twice, so
-- they tell the order of insertion.

CREATE TABLE duroxide_meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The oldest writer that may still work with this store; raised by migrations that older programs would break.
INSERT INTO duroxide_meta (key, value) VALUES ('min_writer', '1'), ('barrier', '0');

-- One row for each instance. What belongs to the current execution stands here too, so that a step changes one row.
CREATE TABLE duroxide_instances (
    id                    INTEGER PRIMARY KEY,
    instance              TEXT    NOT NULL UNIQUE,
    life                  TEXT    NOT NULL, -- drawn at each start, the same through all executions
    turn                  BLOB    NOT NULL, -- replaced by every commit: the fence against late writers
    execution             INTEGER NOT NULL,
    name                  TEXT    NOT NULL,
    version               TEXT    NOT NULL, -- as asked for until next_event > 1, resolved from then on
    status                TEXT    NOT NULL, -- Running, Completed, Failed
    next_event            INTEGER NOT NULL, -- id of the next event of the current execution
    output                TEXT,
    failure               TEXT,             -- JSON
    custom_status_version INTEGER NOT NULL DEFAULT 0,
    open_queues           TEXT    NOT NULL DEFAULT '', -- JSON array: queues with an open dequeue
    used_queues           TEXT    NOT NULL DEFAULT '', -- JSON array: queues that have or had one in this execution
    parent_instance       TEXT,
    parent_life           TEXT,
    parent_execution      INTEGER,
    parent_schedule       INTEGER,
    node                  TEXT    NOT NULL DEFAULT '', -- that committed last and is to be asked first
    suspect               INTEGER NOT NULL DEFAULT 0,  -- a node died over it
    attempts              INTEGER NOT NULL DEFAULT 0,  -- written attempts of suspect work
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    started_at            INTEGER NOT NULL, -- of the current execution
    completed_at          INTEGER           -- of the instance
);
CREATE INDEX duroxide_instances_parent ON duroxide_instances (parent_instance) WHERE parent_instance IS NOT NULL;

CREATE TABLE duroxide_custom_status (
    instance_id INTEGER PRIMARY KEY,
    text        TEXT NOT NULL
);

-- Executions before the current one, which ended by continue-as-new.
CREATE TABLE duroxide_executions (
    instance_id  INTEGER NOT NULL,
    execution    INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    output       TEXT,
    started_at   INTEGER NOT NULL,
    completed_at INTEGER NOT NULL,
    event_count  INTEGER NOT NULL,
    PRIMARY KEY (instance_id, execution)
) WITHOUT ROWID;

-- One row for each committed turn: its events as one JSON array.
CREATE TABLE duroxide_history (
    id          INTEGER PRIMARY KEY,
    instance_id INTEGER NOT NULL,
    execution   INTEGER NOT NULL,
    first_event INTEGER NOT NULL,
    last_event  INTEGER NOT NULL,
    events      TEXT    NOT NULL
);
CREATE UNIQUE INDEX duroxide_history_order ON duroxide_history (instance_id, execution, first_event);

-- News that no turn has taken yet. visible_at is NULL for mail of a queue on which nobody waits.
CREATE TABLE duroxide_messages (
    id          INTEGER PRIMARY KEY,
    instance_id INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    visible_at  INTEGER,
    inserted_at INTEGER NOT NULL,
    message_id  TEXT,    -- of the client
    execution   INTEGER, -- completions and timers; NULL for messages of clients
    source      INTEGER, -- schedule id that is answered
    name        TEXT,    -- event or queue
    data        TEXT,
    failure     TEXT     -- JSON
);
CREATE INDEX duroxide_messages_ready    ON duroxide_messages (visible_at, instance_id) WHERE visible_at IS NOT NULL;
CREATE INDEX duroxide_messages_instance ON duroxide_messages (instance_id, visible_at) WHERE kind <> 'mail';
CREATE INDEX duroxide_messages_mail     ON duroxide_messages (instance_id, name)       WHERE kind = 'mail';
CREATE INDEX duroxide_messages_timer    ON duroxide_messages (instance_id, source)     WHERE kind = 'timer';

-- Mail for instances that were not started yet.
CREATE TABLE duroxide_early_mail (
    id          INTEGER PRIMARY KEY,
    instance    TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    queue       TEXT    NOT NULL,
    data        TEXT    NOT NULL,
    inserted_at INTEGER NOT NULL
);
CREATE INDEX duroxide_early_mail_instance ON duroxide_early_mail (instance);

-- Ids of client messages that were taken without leaving an event, for who asks after a lost answer.
CREATE TABLE duroxide_taken (
    id         INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL
);

-- Activities to run. A claimed job has a token and the node that claimed it.
CREATE TABLE duroxide_jobs (
    id          INTEGER PRIMARY KEY,
    instance_id INTEGER NOT NULL,
    execution   INTEGER NOT NULL,
    schedule    INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    input       TEXT    NOT NULL,
    session     TEXT    NOT NULL DEFAULT '',
    tag         TEXT    NOT NULL DEFAULT '',
    timeout_ms  INTEGER NOT NULL DEFAULT 0,
    attempt     INTEGER NOT NULL DEFAULT 0, -- of a retry policy
    retry_of    INTEGER NOT NULL DEFAULT 0,
    visible_at  INTEGER NOT NULL,
    node        TEXT,
    token       BLOB,
    suspect     INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0  -- written attempts of suspect work
);
CREATE INDEX duroxide_jobs_instance ON duroxide_jobs (instance_id, schedule);
CREATE INDEX duroxide_jobs_waiting  ON duroxide_jobs (tag, name, visible_at) WHERE token IS NULL AND session = '';
CREATE INDEX duroxide_jobs_session  ON duroxide_jobs (session)               WHERE session <> '';
CREATE INDEX duroxide_jobs_claimed  ON duroxide_jobs (node)                  WHERE token IS NOT NULL;

CREATE TABLE duroxide_kv (
    instance_id INTEGER NOT NULL,
    key         TEXT    NOT NULL,
    value       TEXT    NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (instance_id, key)
) WITHOUT ROWID;

-- Which node runs the activities of a session. node is NULL while the session is free but kept for nodes of its label.
CREATE TABLE duroxide_sessions (
    session   TEXT    NOT NULL PRIMARY KEY,
    label     TEXT    NOT NULL,
    node      TEXT,
    last_used INTEGER NOT NULL
);

-- One row for each runtime that works on this store.
CREATE TABLE duroxide_nodes (
    node           TEXT    NOT NULL PRIMARY KEY,
    label          TEXT    NOT NULL,
    counter        INTEGER NOT NULL,
    lease_ms       INTEGER NOT NULL,
    until          INTEGER NOT NULL,
    process_file   TEXT    NOT NULL, -- locked by the process as long as it lives; empty in memory
    orchestrations TEXT    NOT NULL, -- JSON array
    activities     TEXT    NOT NULL, -- JSON array
    joined_at      INTEGER NOT NULL
);
