-- Times are ms since the epoch, taken from the clock of the database. {{.schema}} is the quoted schema.
-- Names and ids compare as bytes.

-- The functions of the following files are planned once for each session, often while tables are empty that grow later;
-- their settings keep the planner from what is only good for tables that stay small, and from compiling what runs for
-- microseconds (jit).

-- Ids of messages and jobs. Every commit draws from it, so its last value tells who polls that something happened.
CREATE SEQUENCE {{.schema}}.duroxide_ids;

-- The store's clock: it goes on inside a transaction, as now() does not.
CREATE FUNCTION {{.schema}}.duroxide_now() RETURNS bigint LANGUAGE sql VOLATILE
    AS 'SELECT floor(date_part(''epoch'', pg_catalog.clock_timestamp()) * 1000)::bigint';

CREATE TABLE {{.schema}}.duroxide_meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- The oldest writer that may still work with this store; raised by migrations that older programs would break.
INSERT INTO {{.schema}}.duroxide_meta (key, value) VALUES ('min_writer', '1');

-- One row for each instance. What belongs to the current execution stands here too, so that a step changes one row; no
-- column that a step changes is indexed, and pages keep room, so that it changes no index either.
CREATE TABLE {{.schema}}.duroxide_instances (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance              text COLLATE "C" NOT NULL UNIQUE,
    life                  text COLLATE "C" NOT NULL, -- drawn at each start, the same through all executions
    turn                  uuid   NOT NULL,           -- replaced by every commit: the fence against late writers
    execution             bigint NOT NULL,
    name                  text COLLATE "C" NOT NULL,
    version               text COLLATE "C" NOT NULL, -- as asked for until next_event > 1, resolved from then on
    status                text   NOT NULL,           -- Running, Completed, Failed
    next_event            bigint NOT NULL,           -- id of the next event of the current execution
    output                text,
    failure               text,                      -- JSON
    custom_status_version bigint NOT NULL DEFAULT 0,
    open_queues           jsonb  NOT NULL DEFAULT '[]', -- queues with an open dequeue
    used_queues           jsonb  NOT NULL DEFAULT '[]', -- queues that have or had one in this execution
    parent_instance       text COLLATE "C",
    parent_life           text COLLATE "C",
    parent_execution      bigint,
    parent_schedule       bigint,
    node                  text COLLATE "C" NOT NULL DEFAULT '', -- that committed last and is to be asked first
    suspect               boolean NOT NULL DEFAULT false,       -- a node died over it
    attempts              integer NOT NULL DEFAULT 0,           -- written attempts of suspect work
    created_at            bigint NOT NULL,
    updated_at            bigint NOT NULL,
    started_at            bigint NOT NULL, -- of the current execution
    completed_at          bigint           -- of the instance
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX duroxide_instances_parent ON {{.schema}}.duroxide_instances (parent_instance) WHERE parent_instance IS NOT NULL;

CREATE TABLE {{.schema}}.duroxide_custom_status (
    instance_id bigint PRIMARY KEY,
    text        text NOT NULL
);

-- Executions before the current one, which ended by continue-as-new.
CREATE TABLE {{.schema}}.duroxide_executions (
    instance_id  bigint NOT NULL,
    execution    bigint NOT NULL,
    status       text   NOT NULL,
    output       text,
    started_at   bigint NOT NULL,
    completed_at bigint NOT NULL,
    event_count  bigint NOT NULL,
    PRIMARY KEY (instance_id, execution)
);

-- One row for each committed turn: its events as one JSON array.
CREATE TABLE {{.schema}}.duroxide_history (
    instance_id bigint NOT NULL,
    execution   bigint NOT NULL,
    first_event bigint NOT NULL,
    last_event  bigint NOT NULL,
    events      text   NOT NULL,
    PRIMARY KEY (instance_id, execution, first_event)
);

-- News that no turn has taken yet. Mail is inserted visible; whether anybody waits for it is decided when somebody looks
-- for work, under the lock of the instance's row. Then visible_at is NULL for mail of a queue on which nobody waits.
CREATE TABLE {{.schema}}.duroxide_messages (
    id          bigint PRIMARY KEY,
    instance_id bigint NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    visible_at  bigint,
    inserted_at bigint NOT NULL,
    message_id  text COLLATE "C", -- of the client
    execution   bigint,           -- completions and timers; NULL for messages of clients
    source      bigint,           -- schedule id that is answered
    name        text COLLATE "C", -- event or queue
    data        text,
    failure     text              -- JSON
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2);
CREATE INDEX duroxide_messages_ready    ON {{.schema}}.duroxide_messages (visible_at, instance_id) WHERE visible_at IS NOT NULL;
-- By spans of 16 s: who looks behind the backlog of an instance passes each of its spans with one step.
CREATE INDEX duroxide_messages_span     ON {{.schema}}.duroxide_messages ((visible_at >> 14), instance_id, visible_at)
    WHERE visible_at IS NOT NULL;
CREATE INDEX duroxide_messages_instance ON {{.schema}}.duroxide_messages (instance_id, visible_at) WHERE kind <> 'mail';
CREATE INDEX duroxide_messages_mail     ON {{.schema}}.duroxide_messages (instance_id, name)       WHERE kind = 'mail';
CREATE INDEX duroxide_messages_timer    ON {{.schema}}.duroxide_messages (instance_id, source)     WHERE kind = 'timer';

-- Mail for instances that were not started yet.
CREATE TABLE {{.schema}}.duroxide_early_mail (
    id          bigint PRIMARY KEY,
    instance    text COLLATE "C" NOT NULL,
    message_id  text COLLATE "C" NOT NULL,
    queue       text COLLATE "C" NOT NULL,
    data        text NOT NULL,
    inserted_at bigint NOT NULL
);
CREATE INDEX duroxide_early_mail_instance ON {{.schema}}.duroxide_early_mail (instance);
CREATE INDEX duroxide_early_mail_age ON {{.schema}}.duroxide_early_mail (inserted_at);

-- Ids of client messages that were taken without leaving an event, for who asks after a lost answer.
CREATE TABLE {{.schema}}.duroxide_taken (
    message_id  text COLLATE "C" NOT NULL,
    inserted_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX duroxide_taken_message ON {{.schema}}.duroxide_taken (message_id);
CREATE INDEX duroxide_taken_age ON {{.schema}}.duroxide_taken (inserted_at);

-- What calls have answered that leave no other trace, for who asks after a lost answer.
CREATE TABLE {{.schema}}.duroxide_answers (
    call        uuid PRIMARY KEY,
    answer      json, -- rows of columns; NULL = none
    inserted_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX duroxide_answers_age ON {{.schema}}.duroxide_answers (inserted_at);

-- Calls that are never to have happened. Their answers were lost, and they had not come through when somebody asked; they may
-- still be at work in a server process of which nobody knows, or arrive from a buffer on the way.
CREATE TABLE {{.schema}}.duroxide_voided (
    call      bigint PRIMARY KEY,
    voided_at bigint NOT NULL
);

-- The last step of a call that changes the store: what was voided is undone (DX003). The lock lasts until the transaction is
-- over, so that who voids the call waits for its commit. An assignment runs it quicker than PERFORM.
CREATE FUNCTION {{.schema}}.duroxide_confirm(p_call bigint) RETURNS boolean LANGUAGE plpgsql AS $duroxide$
BEGIN
    IF NOT pg_try_advisory_xact_lock(p_call) THEN
        RAISE EXCEPTION 'the call is being given up' USING ERRCODE = 'DX003';
    END IF;
    -- Looked for with a snapshot younger than the lock.
    IF EXISTS (SELECT FROM {{.schema}}.duroxide_voided v WHERE v.call = p_call) THEN
        RAISE EXCEPTION 'the call was given up' USING ERRCODE = 'DX003';
    END IF;
    RETURN true;
END
$duroxide$;

-- From here on the call has either happened or never will. Nothing is on its way for longer than an hour.
CREATE FUNCTION {{.schema}}.duroxide_void(p_call bigint) RETURNS void LANGUAGE plpgsql AS $duroxide$
DECLARE
    v_now bigint := {{.schema}}.duroxide_now();
BEGIN
    PERFORM pg_advisory_xact_lock(p_call);
    DELETE FROM {{.schema}}.duroxide_voided v WHERE v.voided_at < v_now - 3600000;
    INSERT INTO {{.schema}}.duroxide_voided (call, voided_at) VALUES (p_call, v_now) ON CONFLICT (call) DO NOTHING;
END
$duroxide$;

-- Activities to run. A claimed job has a token and the node that claimed it. lane is a hash of tag and name: claims walk
-- over the lanes that occur, and an index over both texts could be wider than Postgres allows.
CREATE TABLE {{.schema}}.duroxide_jobs (
    id          bigint PRIMARY KEY,
    instance_id bigint NOT NULL,
    execution   bigint NOT NULL,
    schedule    bigint NOT NULL,
    name        text COLLATE "C" NOT NULL,
    input       text    NOT NULL,
    session     text COLLATE "C" NOT NULL DEFAULT '',
    tag         text COLLATE "C" NOT NULL DEFAULT '',
    lane        bigint  NOT NULL,
    timeout_ms  bigint  NOT NULL DEFAULT 0,
    attempt     integer NOT NULL DEFAULT 0, -- of a retry policy
    retry_of    bigint  NOT NULL DEFAULT 0,
    visible_at  bigint  NOT NULL,
    node        text COLLATE "C",
    token       uuid,
    suspect     boolean NOT NULL DEFAULT false,
    attempts    integer NOT NULL DEFAULT 0  -- written attempts of suspect work
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2);
CREATE INDEX duroxide_jobs_instance ON {{.schema}}.duroxide_jobs (instance_id, schedule);
CREATE INDEX duroxide_jobs_waiting  ON {{.schema}}.duroxide_jobs (lane, visible_at, id) WHERE token IS NULL AND session = '';
CREATE INDEX duroxide_jobs_session  ON {{.schema}}.duroxide_jobs (session)              WHERE session <> '';
CREATE INDEX duroxide_jobs_claimed  ON {{.schema}}.duroxide_jobs (node)                 WHERE token IS NOT NULL;

-- key_hash stands for the key in the index: keys may be longer than an index entry can be.
CREATE TABLE {{.schema}}.duroxide_kv (
    instance_id bigint NOT NULL,
    key_hash    uuid   NOT NULL,
    key         text COLLATE "C" NOT NULL,
    value       text   NOT NULL,
    updated_at  bigint NOT NULL,
    PRIMARY KEY (instance_id, key_hash)
);

-- Which node runs the activities of a session. node is NULL while the session is free but kept for nodes of its label.
CREATE TABLE {{.schema}}.duroxide_sessions (
    session   text COLLATE "C" PRIMARY KEY,
    label     text COLLATE "C" NOT NULL,
    node      text COLLATE "C",
    last_used bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);
CREATE INDEX duroxide_sessions_node ON {{.schema}}.duroxide_sessions (node) WHERE node IS NOT NULL;

-- One row for each runtime that works on this store. The process is known by boot, namespace, pid and start: who sees
-- all of them on the same machine can tell that it is dead before the lease is over. NULL: not known. connections is the
-- advisory lock that its connections to the server share, by which they are found.
CREATE TABLE {{.schema}}.duroxide_nodes (
    node           text COLLATE "C" PRIMARY KEY,
    label          text COLLATE "C" NOT NULL,
    counter        bigint NOT NULL,
    lease_ms       bigint NOT NULL,
    until          bigint NOT NULL,
    boot           text,
    namespace      text,
    pid            bigint,
    started        text,
    connections    bigint NOT NULL,
    orchestrations text[] NOT NULL,
    activities     text[] NOT NULL,
    joined_at      bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

-- Long payloads compress several times faster with lz4, where the server has it.
DO $duroxide$
BEGIN
    ALTER TABLE {{.schema}}.duroxide_history   ALTER COLUMN events SET COMPRESSION lz4;
    ALTER TABLE {{.schema}}.duroxide_messages  ALTER COLUMN data   SET COMPRESSION lz4;
    ALTER TABLE {{.schema}}.duroxide_jobs      ALTER COLUMN input  SET COMPRESSION lz4;
    ALTER TABLE {{.schema}}.duroxide_instances ALTER COLUMN output SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$duroxide$;
