-- What an instance has not taken yet: due messages, the time of the next one, mail of its used queues. The order is left
-- to the caller. Inlined into the statements that use it.
--   what: 3 = a message, 4 = only the time (visible_at) of the next one
CREATE FUNCTION {{.schema}}.duroxide_untaken(p_instance bigint, p_used jsonb, p_now bigint)
RETURNS TABLE (what integer, id bigint, visible_at bigint, inserted_at bigint, execution bigint, source bigint,
    kind text, message_id text, name text, data text, failure text)
LANGUAGE sql STABLE AS $duroxide$
    SELECT 3, m.id, m.visible_at, m.inserted_at, m.execution, m.source, m.kind, m.message_id, m.name, m.data, m.failure
        FROM {{.schema}}.duroxide_messages m
        WHERE m.instance_id = p_instance AND m.kind <> 'mail' AND m.visible_at <= p_now
    UNION ALL
    (SELECT 4, m.id, m.visible_at, m.inserted_at, NULL::bigint, NULL::bigint, m.kind, NULL, NULL, NULL, NULL
        FROM {{.schema}}.duroxide_messages m
        WHERE m.instance_id = p_instance AND m.kind <> 'mail' AND m.visible_at > p_now ORDER BY m.visible_at LIMIT 1)
    UNION ALL
    SELECT 3, b.id, b.visible_at, b.inserted_at, b.execution, b.source, b.kind, b.message_id, b.name, b.data, b.failure
        FROM jsonb_array_elements_text(p_used) q(name) CROSS JOIN LATERAL (
            SELECT m.* FROM {{.schema}}.duroxide_messages m
            WHERE m.instance_id = p_instance AND m.kind = 'mail' AND m.name = q.name ORDER BY m.id LIMIT 256) b
$duroxide$;

-- What a turn needs to know of an instance, all of one state (a stable function reads with one snapshot). Rows are told
-- apart by what: 1 = the instance (attempts only of suspect ones), 2 = a batch of history, oldest first, unless its turn is p_have (n2 first event, t4
-- events), 3 and 4 as duroxide_untaken gives them.
CREATE FUNCTION {{.schema}}.duroxide_load(p_instance text, p_have uuid)
RETURNS TABLE (what integer, id bigint, n1 bigint, n2 bigint, n3 bigint, n4 bigint, t1 text, t2 text, t3 text, t4 text, t5 text,
    turn uuid, used text, parent text, parent_life text, parent_execution bigint, parent_schedule bigint, node text, attempts integer,
    at bigint)
LANGUAGE plpgsql STABLE SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now  bigint := {{.schema}}.duroxide_now();
    v_used jsonb;
    i      record;
BEGIN
    SELECT x.*, c.text AS custom INTO i
    FROM {{.schema}}.duroxide_instances x LEFT JOIN {{.schema}}.duroxide_custom_status c ON c.instance_id = x.id
    WHERE x.instance = p_instance;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    what := 1; id := i.id; n1 := i.custom_status_version; n2 := i.next_event; n3 := i.execution; n4 := 0;
    t1 := i.life; t2 := i.name; t3 := i.version; t4 := i.status; t5 := i.custom; turn := i.turn; used := i.used_queues::text;
    parent := i.parent_instance; parent_life := i.parent_life; parent_execution := i.parent_execution;
    parent_schedule := i.parent_schedule; node := i.node; attempts := CASE WHEN i.suspect THEN i.attempts END; at := v_now;
    RETURN NEXT;
    IF i.turn <> p_have THEN
        RETURN QUERY SELECT 2, 0::bigint, 0::bigint, h.first_event, 0::bigint, 0::bigint, NULL, NULL, NULL, h.events, NULL, NULL::uuid,
            NULL, NULL, NULL, NULL::bigint, NULL::bigint, NULL, NULL::integer, NULL::bigint
            FROM {{.schema}}.duroxide_history h WHERE h.instance_id = i.id AND h.execution = i.execution ORDER BY h.first_event;
    END IF;
    v_used := i.used_queues;
    RETURN QUERY SELECT u.what, u.id, u.visible_at, u.inserted_at, u.execution, u.source, u.kind, u.message_id, u.name, u.data,
        u.failure, NULL::uuid, NULL, NULL, NULL, NULL::bigint, NULL::bigint, NULL, NULL::integer, NULL::bigint
        FROM {{.schema}}.duroxide_untaken(i.id, v_used, v_now) u;
END
$duroxide$;

-- The same for many instances in memory, at the turns where they are (ord: position). Rows as duroxide_untaken gives them; what
-- is null for an instance of which nothing is untaken.
CREATE FUNCTION {{.schema}}.duroxide_refresh(p_instance text[], p_turn uuid[])
RETURNS TABLE (ord bigint, life text, at bigint, what integer, id bigint, visible_at bigint, inserted_at bigint, execution bigint,
    source bigint, kind text, message_id text, name text, data text, failure text)
LANGUAGE plpgsql STABLE SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now bigint := {{.schema}}.duroxide_now();
BEGIN
    RETURN QUERY SELECT k.ord, i.life, v_now, u.what, u.id, u.visible_at, u.inserted_at, u.execution, u.source, u.kind, u.message_id, u.name,
        u.data, u.failure
    FROM unnest(p_instance, p_turn) WITH ORDINALITY k(instance, turn, ord)
    JOIN {{.schema}}.duroxide_instances i ON i.instance = k.instance AND i.turn = k.turn AND i.status = 'Running'
    LEFT JOIN LATERAL {{.schema}}.duroxide_untaken(i.id, i.used_queues, v_now) u ON true;
END
$duroxide$;

-- Stores messages for instances that are there to take them; a message with a life or an execution is meant for that one
-- only. Nobody can delete the instance while its message is inserted. Messages for an instance whose start is delayed
-- wait for it, but a cancel brings the start forward: the execution has to begin before it can end.
CREATE FUNCTION {{.schema}}.duroxide_deliver(p_now bigint, d_instance text[], d_life text[], d_execution bigint[], d_kind text[],
    d_message_id text[], d_source bigint[], d_name text[], d_data text[], d_failure text[])
RETURNS TABLE (ord integer, found boolean, stored boolean, visible_at bigint, id bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM {{.schema}}.duroxide_instances i WHERE i.instance = ANY (d_instance) ORDER BY i.instance FOR KEY SHARE;
    RETURN QUERY
    WITH r AS MATERIALIZED (
        SELECT d.*, i.id AS instance_id,
            coalesce(i.status = 'Running' AND (d.life IS NULL OR d.life = i.life)
                AND (d.execution IS NULL OR d.execution = i.execution), false) AS ok,
            CASE WHEN i.next_event = 1 AND d.kind <> 'mail' THEN (
                SELECT m.visible_at FROM {{.schema}}.duroxide_messages m
                WHERE m.instance_id = i.id AND m.kind <> 'mail' AND m.kind = 'start' AND m.visible_at > p_now) END AS start_due
        FROM unnest(d_instance, d_life, d_execution, d_kind, d_message_id, d_source, d_name, d_data, d_failure)
            WITH ORDINALITY AS d(instance, life, execution, kind, message_id, source, name, data, failure, ord)
            LEFT JOIN {{.schema}}.duroxide_instances i ON i.instance = d.instance),
    n AS MATERIALIZED (
        SELECT r.ord, nextval('{{.literal}}.duroxide_ids') AS id FROM (SELECT r.ord FROM r WHERE r.ok ORDER BY r.ord) r),
    added AS (
        INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, message_id, execution, source,
            name, data, failure)
        SELECT n.id, r.instance_id, r.kind,
            CASE WHEN r.kind = 'cancel' THEN p_now ELSE coalesce(r.start_due, p_now) END, p_now, r.message_id, r.execution,
            r.source, r.name, r.data, r.failure
        FROM n JOIN r ON r.ord = n.ord),
    advanced AS (
        UPDATE {{.schema}}.duroxide_messages m SET visible_at = p_now
        WHERE m.kind = 'start' AND m.kind <> 'mail' AND m.visible_at > p_now
            AND m.instance_id IN (SELECT r.instance_id FROM r WHERE r.ok AND r.kind = 'cancel' AND r.start_due IS NOT NULL))
    SELECT r.ord::integer, r.instance_id IS NOT NULL, r.ok,
        CASE WHEN r.kind = 'cancel' THEN p_now ELSE coalesce(r.start_due, p_now) END, n.id FROM r LEFT JOIN n ON n.ord = r.ord;
END
$duroxide$;

-- Messages of clients. Mail for an instance that does not exist waits for it. Its start and the early mail exclude each
-- other by a lock on the name: else one could miss the other, both being under way.
CREATE FUNCTION {{.schema}}.duroxide_enqueue(p_limit bigint, d_instance text[], d_kind text[], d_message_id text[], d_name text[],
    d_data text[], p_call bigint DEFAULT NULL)
RETURNS TABLE (ord integer, stored boolean, visible_at bigint, at bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now     bigint := {{.schema}}.duroxide_now();
    v_none    text[] := array_fill(NULL::text, ARRAY[cardinality(d_instance)]);
    v_no      bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(d_instance)]);
    v_unknown text[];
    v_sure    boolean;
    r         record;
BEGIN
    IF 'mail' = ANY (d_kind) THEN
        v_unknown := ARRAY(SELECT d.instance FROM unnest(d_instance, d_kind) d(instance, kind) WHERE d.kind = 'mail'
            AND NOT EXISTS (SELECT FROM {{.schema}}.duroxide_instances i WHERE i.instance = d.instance));
        PERFORM pg_advisory_xact_lock(l.key)
            FROM (SELECT DISTINCT hashtextextended(u, 0) AS key FROM unnest(v_unknown) u ORDER BY 1) l;
    END IF;
    FOR r IN SELECT * FROM {{.schema}}.duroxide_deliver(v_now, d_instance, v_none, v_no, d_kind, d_message_id, v_no, d_name, d_data,
        v_none) d ORDER BY d.ord
    LOOP
        ord := r.ord; stored := r.stored; visible_at := r.visible_at; at := v_now;
        IF NOT r.found AND d_kind[r.ord] = 'mail' AND d_instance[r.ord] = ANY (v_unknown) THEN
            visible_at := NULL;
            stored := (SELECT count(*) FROM {{.schema}}.duroxide_early_mail e WHERE e.instance = d_instance[r.ord]) < p_limit;
            IF stored THEN
                INSERT INTO {{.schema}}.duroxide_early_mail (id, instance, message_id, queue, data, inserted_at)
                VALUES (nextval('{{.literal}}.duroxide_ids'), d_instance[r.ord], coalesce(d_message_id[r.ord], ''), d_name[r.ord],
                    coalesce(d_data[r.ord], ''), v_now);
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    v_sure := {{.schema}}.duroxide_confirm(p_call);
END
$duroxide$;

-- Inserts an instance with its start message, and the mail that came before it. Gives the store's time and the row of the
-- message; null: the id is in use. Mail is kept for seven days.
CREATE FUNCTION {{.schema}}.duroxide_begin_one(p_node text, p_instance text, p_life text, p_turn uuid, p_name text, p_version text,
    p_input text, p_delay bigint, p_call bigint)
RETURNS bigint[]
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now     bigint := {{.schema}}.duroxide_now();
    v_id      bigint;
    v_message bigint;
    v_early   boolean;
    v_voided  boolean;
BEGIN
    INSERT INTO {{.schema}}.duroxide_instances AS i (instance, life, turn, execution, name, version, status, next_event, node,
        created_at, updated_at, started_at)
    VALUES (p_instance, p_life, p_turn, 1, p_name, p_version, 'Running', 1, p_node, v_now, v_now, v_now)
    ON CONFLICT (instance) DO NOTHING RETURNING i.id INTO v_id;
    IF v_id IS NULL THEN
        RETURN NULL;
    END IF;
    v_message := nextval('{{.literal}}.duroxide_ids');
    INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, data)
    VALUES (v_message, v_id, 'start', v_now + p_delay, v_now, 1, p_input);
    PERFORM pg_advisory_xact_lock(hashtextextended(p_instance, 0));
    -- As duroxide_confirm does.
    IF NOT pg_try_advisory_xact_lock(p_call) THEN
        RAISE EXCEPTION 'the call is being given up' USING ERRCODE = 'DX003';
    END IF;
    SELECT EXISTS (SELECT FROM {{.schema}}.duroxide_voided v WHERE v.call = p_call),
        EXISTS (SELECT FROM {{.schema}}.duroxide_early_mail e WHERE e.instance = p_instance)
        INTO v_voided, v_early;
    IF v_voided THEN
        RAISE EXCEPTION 'the call was given up' USING ERRCODE = 'DX003';
    END IF;
    IF v_early THEN
        PERFORM {{.schema}}.duroxide_take_early(v_now, ARRAY[p_instance]);
    END IF;
    RETURN ARRAY[v_now, v_message];
END
$duroxide$;

-- Inserts instances as duroxide_begin_one does. Gives the lives that began; an id in use begins none. Rows are inserted in
-- the order of their ids, so that two who start the same ones do not deadlock.
CREATE FUNCTION {{.schema}}.duroxide_begin(p_now bigint, b_node text[], b_instance text[], b_life text[], b_turn uuid[], b_name text[],
    b_version text[], b_input text[], b_delay bigint[], b_parent text[], b_parent_life text[], b_parent_execution bigint[],
    b_parent_schedule bigint[], p_call bigint DEFAULT NULL)
RETURNS TABLE (life text, message bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_instance  text;
    v_instances text[] := '{}';
    v_sure      boolean;
BEGIN
    FOR life, message, v_instance IN
        WITH b AS MATERIALIZED (
            SELECT * FROM unnest(b_node, b_instance, b_life, b_turn, b_name, b_version, b_input, b_delay, b_parent, b_parent_life,
                b_parent_execution, b_parent_schedule) b(node, instance, life, turn, name, version, input, delay, parent, parent_life,
                parent_execution, parent_schedule)),
        born AS (
            INSERT INTO {{.schema}}.duroxide_instances (instance, life, turn, execution, name, version, status, next_event,
                parent_instance, parent_life, parent_execution, parent_schedule, node, created_at, updated_at, started_at)
            SELECT b.instance, b.life, b.turn, 1, b.name, b.version, 'Running', 1, b.parent, b.parent_life, b.parent_execution,
                b.parent_schedule, b.node, p_now, p_now, p_now
            FROM b ORDER BY b.instance COLLATE "C"
            ON CONFLICT (instance) DO NOTHING RETURNING id, instance, life),
        started AS (
            INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, data)
            SELECT nextval('{{.literal}}.duroxide_ids'), born.id, 'start', p_now + b.delay, p_now, 1, b.input
            FROM born JOIN b ON b.life = born.life RETURNING id, instance_id)
        SELECT born.life, started.id, born.instance FROM born JOIN started ON started.instance_id = born.id
    LOOP
        v_instances := v_instances || v_instance;
        RETURN NEXT;
    END LOOP;
    PERFORM pg_advisory_xact_lock(l.key) FROM (
        SELECT DISTINCT hashtextextended(i, 0) AS key FROM unnest(v_instances) i ORDER BY 1) l;
    IF EXISTS (SELECT FROM {{.schema}}.duroxide_early_mail e WHERE e.instance = ANY (v_instances)) THEN
        PERFORM {{.schema}}.duroxide_take_early(p_now, v_instances);
    END IF;
    IF p_call IS NOT NULL THEN
        v_sure := {{.schema}}.duroxide_confirm(p_call);
    END IF;
END
$duroxide$;

-- Inserts instances whose first turns are committed in the same transaction: without a start message. Gives the lives that began.
CREATE FUNCTION {{.schema}}.duroxide_found(p_now bigint, p_node text, b_instance text[], b_life text[], b_turn uuid[], b_name text[],
    b_version text[])
RETURNS text[]
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
DECLARE
    v_instances text[];
    v_lives     text[];
BEGIN
    WITH born AS (
        INSERT INTO {{.schema}}.duroxide_instances (instance, life, turn, execution, name, version, status, next_event, node,
            created_at, updated_at, started_at)
        SELECT b.instance, b.life, b.turn, 1, b.name, b.version, 'Running', 1, p_node, p_now, p_now, p_now
        FROM unnest(b_instance, b_life, b_turn, b_name, b_version) b(instance, life, turn, name, version)
        ORDER BY b.instance COLLATE "C"
        ON CONFLICT (instance) DO NOTHING RETURNING instance, life)
    SELECT array_agg(instance), array_agg(life) INTO v_instances, v_lives FROM born;
    PERFORM pg_advisory_xact_lock(l.key) FROM (
        SELECT DISTINCT hashtextextended(i, 0) AS key FROM unnest(v_instances) i ORDER BY 1) l;
    IF EXISTS (SELECT FROM {{.schema}}.duroxide_early_mail e WHERE e.instance = ANY (v_instances)) THEN
        PERFORM {{.schema}}.duroxide_take_early(p_now, v_instances);
    END IF;
    RETURN coalesce(v_lives, '{}');
END
$duroxide$;

-- Gives instances that have just been inserted the mail that came before them.
CREATE FUNCTION {{.schema}}.duroxide_take_early(p_now bigint, p_instances text[]) RETURNS void
LANGUAGE sql SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $duroxide$
    WITH mail AS (
        DELETE FROM {{.schema}}.duroxide_early_mail e WHERE e.instance = ANY (p_instances) RETURNING *)
    INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, message_id, name, data)
    SELECT m.id, i.id, 'mail', p_now, m.inserted_at, nullif(m.message_id, ''), m.queue, m.data
    FROM mail m JOIN {{.schema}}.duroxide_instances i ON i.instance = m.instance WHERE m.inserted_at >= p_now - 604800000
$duroxide$;

-- Settles the mail that somebody came upon while looking for work: what nobody waits for is hidden, and what is left of
-- an ended instance is removed. The instance's row is locked meanwhile, as it is by the turn that opens a queue, so one
-- of both sees the other.
CREATE FUNCTION {{.schema}}.duroxide_hide(p_instances bigint[]) RETURNS void LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
DECLARE
    v_locked bigint[];
BEGIN
    v_locked := ARRAY(SELECT i.id FROM {{.schema}}.duroxide_instances i WHERE i.id = ANY (p_instances) ORDER BY i.id
        FOR NO KEY UPDATE SKIP LOCKED);
    DELETE FROM {{.schema}}.duroxide_messages m USING {{.schema}}.duroxide_instances i
        WHERE i.id = ANY (v_locked) AND m.instance_id = i.id AND i.status <> 'Running';
    UPDATE {{.schema}}.duroxide_messages m SET visible_at = NULL FROM {{.schema}}.duroxide_instances i
        WHERE i.id = ANY (v_locked) AND m.instance_id = i.id AND m.kind = 'mail' AND m.visible_at IS NOT NULL
            AND NOT i.open_queues ? m.name;
END
$duroxide$;

-- Looks for work: the time and whether other nodes live (what = 0, at and idle), what is due, the longest waiting first
-- (1), and, up to p_horizon ms ahead, what is due later (2). What another live node committed last is left to it for
-- p_affinity ms, and other names to those who have them (3): of p_limit messages they count. With p_spans the backlog of an
-- instance counts once for each 16 s of it, and what is left to others does not count. Whether mail is waited for is decided
-- here, from the row of its instance: where it is inserted, the turn that opens its queue may be about to commit. idle:
-- nothing here for a turn.
CREATE FUNCTION {{.schema}}.duroxide_ready(p_node text, p_names text[], p_affinity bigint, p_limit integer, p_horizon bigint,
    p_due_limit integer, p_spans boolean)
RETURNS TABLE (what integer, id bigint, instance text, node text, at bigint, idle boolean)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
    SET enable_mergejoin = off SET enable_material = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now    bigint := {{.schema}}.duroxide_now();
    v_others text[] := ARRAY(SELECT n.node FROM {{.schema}}.duroxide_nodes n WHERE n.node <> p_node AND n.until >= v_now);
BEGIN
    what := 0; at := v_now; idle := cardinality(v_others) > 0;
    RETURN NEXT;
    IF p_spans THEN
        RETURN QUERY SELECT 1, w.id, w.instance, w.node, w.at, w.idle
            FROM {{.schema}}.duroxide_waiting(v_now, p_names, v_now - p_affinity, v_others) w LIMIT p_limit;
    ELSE
        RETURN QUERY
        SELECT CASE WHEN CASE WHEN i.version = '' THEN i.name ELSE i.name || '@' || i.version END = ANY (p_names)
                AND (m.visible_at <= v_now - p_affinity OR NOT i.node = ANY (v_others)) THEN 1 ELSE 3 END,
            m.instance_id, i.instance, i.node, m.visible_at, i.status <> 'Running' OR (m.kind = 'mail' AND NOT i.open_queues ? m.name)
        FROM (SELECT * FROM {{.schema}}.duroxide_messages m WHERE m.visible_at IS NOT NULL AND m.visible_at <= v_now
            ORDER BY m.visible_at, m.instance_id LIMIT p_limit) m
            JOIN {{.schema}}.duroxide_instances i ON i.id = m.instance_id
        ORDER BY m.visible_at, m.instance_id;
    END IF;
    IF p_horizon > 0 THEN
        RETURN QUERY
        SELECT 2, m.instance_id, i.instance, i.node, m.visible_at, false
        FROM {{.schema}}.duroxide_messages m JOIN {{.schema}}.duroxide_instances i ON i.id = m.instance_id
        WHERE m.visible_at IS NOT NULL AND m.visible_at > v_now AND m.visible_at <= v_now + p_horizon
            AND CASE WHEN i.version = '' THEN i.name ELSE i.name || '@' || i.version END = ANY (p_names)
            AND NOT i.node = ANY (v_others)
        ORDER BY m.visible_at, m.instance_id LIMIT p_due_limit;
    END IF;
END
$duroxide$;

-- The instances that have waited longest, as duroxide_ready gives them, each once for every span in which it has messages:
-- the index is stepped through from one instance to the next. Inlined, so that no more are looked at than are wanted.
CREATE FUNCTION {{.schema}}.duroxide_waiting(p_now bigint, p_names text[], p_left bigint, p_others text[])
RETURNS TABLE (id bigint, instance text, node text, at bigint, idle boolean)
LANGUAGE sql STABLE AS $duroxide$
    WITH RECURSIVE w AS (
        (SELECT m.visible_at >> 14 AS span, m.instance_id, m.visible_at FROM {{.schema}}.duroxide_messages m
            WHERE m.visible_at IS NOT NULL AND m.visible_at >> 14 <= p_now >> 14
            ORDER BY m.visible_at >> 14, m.instance_id, m.visible_at LIMIT 1)
        UNION ALL
        SELECT n.span, n.instance_id, n.visible_at FROM w CROSS JOIN LATERAL (
            SELECT m.visible_at >> 14 AS span, m.instance_id, m.visible_at FROM {{.schema}}.duroxide_messages m
            WHERE m.visible_at IS NOT NULL AND m.visible_at >> 14 <= p_now >> 14
                AND (m.visible_at >> 14, m.instance_id) > (w.span, w.instance_id)
            ORDER BY m.visible_at >> 14, m.instance_id, m.visible_at LIMIT 1) n)
    SELECT w.instance_id, i.instance, i.node, w.visible_at, i.status <> 'Running' OR NOT (
        EXISTS (SELECT FROM {{.schema}}.duroxide_messages x WHERE x.instance_id = w.instance_id AND x.kind <> 'mail'
            AND x.visible_at <= p_now)
        OR EXISTS (SELECT FROM jsonb_array_elements_text(i.open_queues) q(name) CROSS JOIN LATERAL (
            SELECT FROM {{.schema}}.duroxide_messages x WHERE x.instance_id = w.instance_id AND x.kind = 'mail' AND x.name = q.name
                AND x.visible_at IS NOT NULL LIMIT 1) y))
    FROM w JOIN {{.schema}}.duroxide_instances i ON i.id = w.instance_id
    WHERE w.visible_at <= p_now AND CASE WHEN i.version = '' THEN i.name ELSE i.name || '@' || i.version END = ANY (p_names)
        AND (w.visible_at <= p_left OR NOT i.node = ANY (p_others))
$duroxide$;
