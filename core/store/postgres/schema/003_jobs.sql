-- Claims the oldest jobs that a node can do, at most p_limit, and gives them with what their run needs to know. Sessions are
-- served one job at a time; a free one is taken while p_may_take lasts. All claims of a call share a token. Tags do not count
-- for system calls.
--
-- Candidates are read without locks and then locked in their order, plain ones and those in sessions alike, until there are
-- enough: rows that are not taken are not touched, and no session is taken whose job has to wait. Some more candidates than
-- needed are read, because other nodes may be after the same ones.
CREATE FUNCTION {{.schema}}.duroxide_claim(p_now bigint, p_limit bigint, p_node text, p_token uuid, p_names text[], p_tags text[],
    p_any boolean, p_held text[], p_may_take integer, p_label text, p_call bigint DEFAULT NULL)
RETURNS TABLE (id bigint, instance text, life text, execution bigint, schedule bigint, name text, input text, session text,
    tag text, timeout_ms bigint, attempt integer, retry_of bigint, suspect boolean, attempts integer, orchestration text,
    version text)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $duroxide$
#variable_conflict use_column
DECLARE
    v_plain  bigint[];
    v_since  bigint[]; -- visible_at of the plain ones
    v_chosen bigint[] := '{}';
    v_take   integer := p_may_take;
    v_sure   boolean;
    s        record;
BEGIN
    WITH RECURSIVE lanes AS (
        (SELECT j.lane, j.tag, j.name FROM {{.schema}}.duroxide_jobs j WHERE j.token IS NULL AND j.session = '' ORDER BY j.lane LIMIT 1)
        UNION ALL
        SELECT n.* FROM lanes l CROSS JOIN LATERAL (
            SELECT j.lane, j.tag, j.name FROM {{.schema}}.duroxide_jobs j
            WHERE j.token IS NULL AND j.session = '' AND j.lane > l.lane ORDER BY j.lane LIMIT 1) n)
    SELECT array_agg(c.id ORDER BY c.visible_at, c.id), array_agg(c.visible_at ORDER BY c.visible_at, c.id) INTO v_plain, v_since
    FROM (SELECT j.id, j.visible_at FROM lanes l CROSS JOIN LATERAL (
            SELECT j.id, j.visible_at FROM {{.schema}}.duroxide_jobs j
            WHERE j.token IS NULL AND j.session = '' AND j.lane = l.lane AND j.visible_at <= p_now
            ORDER BY j.visible_at, j.id LIMIT p_limit + 16) j
        WHERE l.name = ANY (p_names) AND (p_any OR l.tag = ANY (p_tags) OR starts_with(l.name, '__duroxide_syscall:'))
        ORDER BY j.visible_at, j.id LIMIT p_limit + 16) c;

    IF EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session > '') THEN
        -- Of each session that is held here or may be taken the oldest waiting job, unless one of its jobs runs.
        FOR s IN
            WITH RECURSIVE names AS (
                (SELECT j.session FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' ORDER BY j.session LIMIT 1)
                UNION ALL
                SELECT n.session FROM names l CROSS JOIN LATERAL (
                    SELECT j.session FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session > l.session
                    ORDER BY j.session LIMIT 1) n)
            SELECT h.id, h.session, h.visible_at, coalesce(o.node = p_node, false) AS mine FROM names l
            LEFT JOIN {{.schema}}.duroxide_sessions o ON o.session = l.session
            CROSS JOIN LATERAL (
                SELECT j.id, j.session, j.visible_at, j.name, j.tag FROM {{.schema}}.duroxide_jobs j
                WHERE j.session <> '' AND j.session = l.session AND j.token IS NULL ORDER BY j.id LIMIT 1) h
            WHERE (l.session = ANY (p_held) OR p_may_take > 0)
                AND (o.node = p_node OR o.session IS NULL
                    OR o.node IS NULL AND (o.label = '' OR o.label = p_label OR p_now - o.last_used >= 10000))
                AND h.visible_at <= p_now AND h.name = ANY (p_names)
                AND (p_any OR h.tag = ANY (p_tags) OR starts_with(h.name, '__duroxide_syscall:'))
                AND NOT EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j
                    WHERE j.session <> '' AND j.session = l.session AND j.token IS NOT NULL)
            UNION ALL
            SELECT p.id, '', p.visible_at, false FROM unnest(v_plain, v_since) p(id, visible_at)
            ORDER BY 3, 1
        LOOP
            EXIT WHEN cardinality(v_chosen) >= p_limit;
            CONTINUE WHEN s.session <> '' AND NOT s.mine AND v_take <= 0;
            PERFORM 1 FROM {{.schema}}.duroxide_jobs j WHERE j.id = s.id AND j.token IS NULL FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            IF s.session <> '' THEN
                -- The row of the session is the lock under which its jobs are claimed.
                UPDATE {{.schema}}.duroxide_sessions o SET last_used = p_now WHERE o.session = s.session AND o.node = p_node;
                IF NOT FOUND THEN
                    CONTINUE WHEN v_take <= 0;
                    INSERT INTO {{.schema}}.duroxide_sessions AS o (session, label, node, last_used)
                    VALUES (s.session, p_label, p_node, p_now)
                    ON CONFLICT (session) DO UPDATE SET label = p_label, node = p_node, last_used = p_now
                        WHERE o.node IS NULL AND (o.label = '' OR o.label = p_label OR p_now - o.last_used >= 10000);
                    CONTINUE WHEN NOT FOUND;
                    v_take := v_take - 1;
                END IF;
                CONTINUE WHEN EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session = s.session
                    AND j.token IS NOT NULL);
            END IF;
            v_chosen := v_chosen || s.id;
        END LOOP;
        v_plain := '{}';
    END IF;

    IF cardinality(v_chosen) = 0 AND coalesce(cardinality(v_plain), 0) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH taken AS MATERIALIZED (
        SELECT j.id FROM {{.schema}}.duroxide_jobs j
        WHERE j.id = ANY (v_plain || v_chosen) AND j.token IS NULL ORDER BY j.visible_at, j.id LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE {{.schema}}.duroxide_jobs j SET node = p_node, token = p_token FROM taken WHERE j.id = taken.id RETURNING j.*)
    SELECT c.id, i.instance, i.life, c.execution, c.schedule, c.name, c.input, c.session, c.tag, c.timeout_ms, c.attempt, c.retry_of,
        c.suspect, c.attempts, i.name, i.version
    FROM claimed c JOIN {{.schema}}.duroxide_instances i ON i.id = c.instance_id ORDER BY c.visible_at, c.id;
    IF p_call IS NOT NULL THEN
        v_sure := {{.schema}}.duroxide_confirm(p_call);
    END IF;
END
$duroxide$;

-- Ends claimed jobs: with a result, which becomes a message, or given back (s_back). A job that is no longer claimed so is
-- left alone.
CREATE FUNCTION {{.schema}}.duroxide_settle(s_id bigint[], s_token uuid[], s_back boolean[], s_delay bigint[], s_counted boolean[],
    s_life text[], s_execution bigint[], s_kind text[], s_source bigint[], s_data text[], s_failure text[])
RETURNS TABLE (ord integer, instance text, stored boolean, visible_at bigint, at bigint, message bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now      bigint;
    v_ord      integer[];
    v_instance text[];
BEGIN
    PERFORM 1 FROM {{.schema}}.duroxide_jobs j WHERE j.id = ANY (s_id) ORDER BY j.id FOR UPDATE;
    v_now := {{.schema}}.duroxide_now();
    RETURN QUERY
    WITH given AS (
        UPDATE {{.schema}}.duroxide_jobs j SET node = NULL, token = NULL,
            visible_at = greatest(j.visible_at, CASE WHEN s.delay > 0 THEN v_now + s.delay END),
            attempts = CASE WHEN s.counted THEN j.attempts ELSE greatest(j.attempts - 1, 0) END
        FROM unnest(s_id, s_token, s_back, s_delay, s_counted) WITH ORDINALITY AS s(id, token, back, delay, counted, ord)
        WHERE s.back AND j.id = s.id AND j.token = s.token RETURNING s.ord)
    SELECT g.ord::integer, NULL::text, false, NULL::bigint, v_now, NULL::bigint FROM given g;
    IF NOT false = ANY (s_back) THEN
        RETURN;
    END IF;
    WITH done AS (
        DELETE FROM {{.schema}}.duroxide_jobs j USING unnest(s_id, s_token, s_back) WITH ORDINALITY AS s(id, token, back, ord)
        WHERE NOT s.back AND j.id = s.id AND j.token = s.token RETURNING s.ord, j.instance_id)
    SELECT array_agg(d.ord ORDER BY d.ord), array_agg(i.instance ORDER BY d.ord) INTO v_ord, v_instance
    FROM done d LEFT JOIN {{.schema}}.duroxide_instances i ON i.id = d.instance_id;
    IF v_ord IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v_ord[d.ord], v_instance[d.ord], d.stored, d.visible_at, v_now, d.id
    FROM {{.schema}}.duroxide_deliver(v_now, v_instance,
        ARRAY(SELECT s_life[o] FROM unnest(v_ord) o), ARRAY(SELECT s_execution[o] FROM unnest(v_ord) o),
        ARRAY(SELECT s_kind[o] FROM unnest(v_ord) o), ARRAY(SELECT NULL::text FROM unnest(v_ord) o),
        ARRAY(SELECT s_source[o] FROM unnest(v_ord) o), ARRAY(SELECT NULL::text FROM unnest(v_ord) o),
        ARRAY(SELECT s_data[o] FROM unnest(v_ord) o), ARRAY(SELECT s_failure[o] FROM unnest(v_ord) o)) d;
END
$duroxide$;
