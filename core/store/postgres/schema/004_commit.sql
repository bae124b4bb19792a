-- Commits turns: one, or a group. The first thing done is a conditional UPDATE of their rows (the fence); everything else
-- takes its instances from what that has hit (v_ids, by position), so a turn that is not the instance's next one changes
-- nothing. A consumed job that is no longer claimed raises DX001, which undoes the whole call; the caller leaves that turn
-- out and calls again. Rows of several instances are locked in the order of their ids. Those at the positions of b_member are
-- inserted first, with the mail that came before them, unless their id is in use: then the turn is fenced.
--
-- Arrays of the same prefix run in parallel; member is the position of the turn. p_rest holds, as JSON, what few turns have:
--   recorded: [message ids that the turns' events hold]
--   taken:  [{m, id}]              client messages that leave no event
--   jobs_dropped, timers_dropped: [{m, schedule}]
--   news:   [{m, kind, due, execution, source}]     timers, continue messages; due null = now
--   starts: [{m, instance, life, turn, name, version, input, schedule, refused}]
--   sends:  [{instance, life, execution, kind, message_id, source, name, data, failure, m}]
--   kv_cleared: [{m}]
--   kv:     [{m, hash, key, value, at}]              value null = deleted
--   status: [{m, text}]                              null = reset
--
-- The answer, a row for each thing (what):
--   1 applied            member, a = store's time, b = 1 when the node's lease was renewed, c = version of the custom status
--   2 fenced             member
--   3 untaken message    member, id, a visible, b inserted, c execution, d source, t1 kind, t2 message id, t3 name, t4 data, t5 failure
--   4 next due           member, a
--   5 own job claimed    member, id, a schedule
--   6 older job claimed  member, id, a execution, b schedule, c timeout, d attempt, e retry_of, f suspect, g attempts,
--                        t1 instance, t2 life, t3 name, t4 input, t5 session, t6 tag, t7 orchestration, t8 version
--   7 claimed job gone   id, token
--   8 instance started   t1 life
--   9 message sent       t1 instance, a visible
CREATE FUNCTION {{.schema}}.duroxide_commit(
    p_node text, p_claimer text, p_lease bigint, p_mail boolean, p_rest json, b_member integer[],
    t_instance text[], t_life text[], t_expect uuid[], t_turn uuid[], t_execution bigint[], t_node text[], t_name text[],
    t_version text[], t_current bigint[], t_next bigint[], t_last bigint[], t_status text[], t_output text[], t_failure text[], t_open text[],
    t_used text[], t_status_version bigint[], t_begins boolean[], t_how integer[], t_limit bigint[],
    c_member integer[], c_row bigint[],
    j_member integer[], j_id bigint[], j_token uuid[],
    h_member integer[], h_execution bigint[], h_first bigint[], h_last bigint[], h_events text[],
    w_member integer[], w_schedule bigint[], w_name text[], w_input text[], w_session text[], w_tag text[], w_lane bigint[],
    w_timeout bigint[], w_attempt integer[], w_retry_of bigint[], w_rank bigint[],
    p_token uuid, p_after boolean, p_names text[], p_tags text[], p_any boolean, p_held text[], p_may_take integer, p_label text,
    p_call bigint)
RETURNS TABLE (what integer, member integer, id bigint, token uuid, a bigint, b bigint, c bigint, d bigint, e bigint, f bigint,
    g bigint, t1 text, t2 text, t3 text, t4 text, t5 text, t6 text, t7 text, t8 text)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now     bigint;
    v_ids     bigint[];
    v_custom  bigint[]; -- versions of the custom statuses
    v_ords    integer[];
    v_applied integer;
    v_count   bigint;
    v_left    bigint[];
    v_over    bigint[];
    v_sure    boolean;
    v_lives   text[];
    r         record;
BEGIN
    -- The arrays are in the order of the ids, and joined row by row: that is the order in which rows are locked.
    v_now := {{.schema}}.duroxide_now();
    IF cardinality(b_member) > 0 THEN
        v_lives := {{.schema}}.duroxide_found(v_now, p_node, ARRAY(SELECT t_instance[m] FROM unnest(b_member) m),
            ARRAY(SELECT t_life[m] FROM unnest(b_member) m), ARRAY(SELECT t_expect[m] FROM unnest(b_member) m),
            ARRAY(SELECT t_name[m] FROM unnest(b_member) m), ARRAY(SELECT t_version[m] FROM unnest(b_member) m));
        -- What is there by another start passes no fence, were it of the same life.
        FOR v_count IN SELECT m FROM unnest(b_member) m WHERE NOT t_life[m] = ANY (v_lives) LOOP
            t_expect[v_count] := NULL;
        END LOOP;
        v_lives := NULL;
    END IF;
    IF 2 = ANY (t_how) THEN
        -- When the execution that ends began is read before its row moves on. All rows are locked first: in their order.
        PERFORM 1 FROM {{.schema}}.duroxide_instances i WHERE i.instance = ANY (t_instance) ORDER BY i.instance FOR NO KEY UPDATE;
        INSERT INTO {{.schema}}.duroxide_executions (instance_id, execution, status, output, started_at, completed_at, event_count)
        SELECT i.id, t.execution, 'ContinuedAsNew', t.output, i.started_at, v_now, t.last
        FROM unnest(t_instance, t_life, t_expect, t_execution, t_output, t_last, t_how) t(instance, life, expect, execution, output, last, how)
        JOIN {{.schema}}.duroxide_instances i
            ON i.instance = t.instance AND i.life = t.life AND i.turn = t.expect AND i.execution = t.execution
        WHERE t.how = 2;
    END IF;
    WITH u AS (
        UPDATE {{.schema}}.duroxide_instances i SET turn = t.turn, node = t.node, updated_at = v_now,
            name = coalesce(t.name, i.name), version = coalesce(t.version, i.version), execution = t.current,
            next_event = coalesce(t.next, i.next_event),
            status = t.status, output = CASE WHEN t.how = 1 THEN t.output END, failure = t.failure,
            open_queues = CASE t.open WHEN '[]' THEN '[]'::jsonb ELSE t.open::jsonb END,
            used_queues = CASE t.used WHEN '[]' THEN '[]'::jsonb ELSE t.used::jsonb END,
            custom_status_version = coalesce(t.status_version, i.custom_status_version),
            started_at = CASE WHEN t.begins THEN v_now ELSE i.started_at END,
            completed_at = CASE WHEN t.how = 1 THEN v_now END, suspect = false, attempts = 0
        FROM unnest(t_instance, t_life, t_expect, t_turn, t_execution, t_node, t_name, t_version, t_current, t_next, t_status,
                t_output, t_failure, t_open, t_used, t_status_version, t_begins, t_how) WITH ORDINALITY
            AS t(instance, life, expect, turn, execution, node, name, version, current, next, status, output, failure, open, used,
                status_version, begins, how, ord)
        WHERE i.instance = t.instance AND i.life = t.life AND i.turn = t.expect AND i.execution = t.execution
        RETURNING t.ord, i.id, i.custom_status_version AS custom)
    SELECT array_agg(u.id ORDER BY u.ord), array_agg(u.custom ORDER BY u.ord), array_agg(u.ord::integer ORDER BY u.ord), count(*)
        INTO v_ids, v_custom, v_ords, v_applied FROM u;

    IF v_applied < cardinality(t_instance) THEN
        SELECT array_agg(v_ids[array_position(v_ords, n)] ORDER BY n), array_agg(v_custom[array_position(v_ords, n)] ORDER BY n)
            INTO v_ids, v_custom FROM generate_series(1, cardinality(t_instance)) n;
        RETURN QUERY SELECT 2, n, NULL::bigint, NULL::uuid, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
            FROM generate_series(1, cardinality(t_instance)) n WHERE v_ids[n] IS NULL;
        IF v_applied = 0 THEN
            RETURN;
        END IF;
    END IF;

    IF cardinality(j_id) > 0 THEN
        DELETE FROM {{.schema}}.duroxide_jobs j USING unnest(j_member, j_id, j_token) AS c(member, id, token)
            WHERE j.id = c.id AND j.token = c.token AND v_ids[c.member] IS NOT NULL;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        IF v_count < (SELECT count(*) FROM unnest(j_member) m WHERE v_ids[m] IS NOT NULL) THEN
            RAISE EXCEPTION 'a consumed job is no longer claimed' USING ERRCODE = 'DX001';
        END IF;
    END IF;
    IF cardinality(c_row) > 0 THEN
        DELETE FROM {{.schema}}.duroxide_messages m USING unnest(c_member, c_row) AS c(member, id)
            WHERE m.id = c.id AND m.instance_id = v_ids[c.member];
    END IF;
    IF cardinality(h_member) > 0 THEN
        INSERT INTO {{.schema}}.duroxide_history (instance_id, execution, first_event, last_event, events)
        SELECT v_ids[h.member], h.execution, h.first, h.last, h.events
        FROM unnest(h_member, h_execution, h_first, h_last, h_events) AS h(member, execution, first, last, events)
        WHERE v_ids[h.member] IS NOT NULL;
    END IF;

    -- What ended takes its jobs with it, and its messages; at continue-as-new mail and cancels stay.
    IF 1 = ANY (t_how) OR 2 = ANY (t_how) THEN
        v_over := ARRAY(SELECT v_ids[n] FROM generate_subscripts(t_how, 1) n WHERE t_how[n] <> 0 AND v_ids[n] IS NOT NULL);
        RETURN QUERY
        WITH gone AS (DELETE FROM {{.schema}}.duroxide_jobs j WHERE j.instance_id = ANY (v_over) RETURNING j.id, j.token)
        SELECT 7, NULL::integer, x.id, x.token, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM gone x WHERE x.token IS NOT NULL;
        IF 2 = ANY (t_how) THEN
            DELETE FROM {{.schema}}.duroxide_messages m USING generate_subscripts(t_how, 1) n
                WHERE t_how[n] = 2 AND m.instance_id = v_ids[n] AND m.kind <> 'mail' AND m.kind <> 'cancel';
        END IF;
        IF 1 = ANY (t_how) THEN
            v_over := ARRAY(SELECT v_ids[n] FROM generate_subscripts(t_how, 1) n WHERE t_how[n] = 1 AND v_ids[n] IS NOT NULL);
            WITH news AS (
                DELETE FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = ANY (v_over) AND m.kind <> 'mail' RETURNING m.message_id),
            mail AS (
                DELETE FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = ANY (v_over) AND m.kind = 'mail' RETURNING m.message_id),
            gone AS (SELECT * FROM news UNION ALL SELECT * FROM mail)
            INSERT INTO {{.schema}}.duroxide_taken (message_id, inserted_at)
            SELECT x.message_id, v_now FROM gone x WHERE x.message_id IS NOT NULL
                AND NOT coalesce((p_rest ->> 'recorded')::jsonb ? x.message_id, false);
        END IF;
    END IF;
    IF p_rest IS NOT NULL THEN
        IF p_rest -> 'taken' IS NOT NULL THEN
            INSERT INTO {{.schema}}.duroxide_taken (message_id, inserted_at)
            SELECT x.id, v_now FROM json_to_recordset(p_rest -> 'taken') x(m integer, id text) WHERE v_ids[x.m] IS NOT NULL;
        END IF;
        IF p_rest -> 'jobs_dropped' IS NOT NULL THEN
            RETURN QUERY
            WITH gone AS (
                DELETE FROM {{.schema}}.duroxide_jobs j
                USING json_to_recordset(p_rest -> 'jobs_dropped') x(m integer, schedule bigint)
                WHERE j.instance_id = v_ids[x.m] AND j.schedule = x.schedule AND j.execution = t_execution[x.m]
                RETURNING j.id, j.token)
            SELECT 7, NULL::integer, x.id, x.token, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
                NULL::bigint, NULL::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM gone x WHERE x.token IS NOT NULL;
        END IF;
        IF p_rest -> 'timers_dropped' IS NOT NULL THEN
            DELETE FROM {{.schema}}.duroxide_messages m
            USING json_to_recordset(p_rest -> 'timers_dropped') x(m integer, schedule bigint)
            WHERE m.instance_id = v_ids[x.m] AND m.kind = 'timer' AND m.source = x.schedule AND m.execution = t_execution[x.m];
        END IF;
    END IF;

    -- Free slots go to the oldest work first, then to the turns' own jobs, which are claimed as they are inserted. With
    -- sessions among them (p_after) what may be claimed is decided when they are in place.
    v_left := ARRAY(SELECT CASE WHEN v_ids[n] IS NULL THEN 0 ELSE t_limit[n] END FROM generate_subscripts(t_limit, 1) n);
    v_count := (SELECT sum(l) FROM unnest(v_left) l);
    IF v_count > 0 AND NOT p_after AND (
        EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.token IS NULL AND j.session = '' AND j.lane > -9223372036854775808)
        OR EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session > ''))
    THEN
        member := 1;
        FOR r IN SELECT * FROM {{.schema}}.duroxide_claim(v_now, v_count, p_claimer, p_token, p_names, p_tags, p_any, p_held, p_may_take, p_label)
        LOOP
            WHILE v_left[member] <= 0 LOOP member := member + 1; END LOOP;
            v_left[member] := v_left[member] - 1;
            what := 6; id := r.id; token := p_token; a := r.execution; b := r.schedule; c := r.timeout_ms; d := r.attempt;
            e := r.retry_of; f := r.suspect::integer; g := r.attempts; t1 := r.instance; t2 := r.life; t3 := r.name; t4 := r.input;
            t5 := r.session; t6 := r.tag; t7 := r.orchestration; t8 := r.version;
            RETURN NEXT;
        END LOOP;
    END IF;
    IF cardinality(w_member) > 0 THEN
        RETURN QUERY
        WITH added AS (
            INSERT INTO {{.schema}}.duroxide_jobs AS j (id, instance_id, execution, schedule, name, input, session, tag, lane, timeout_ms,
                attempt, retry_of, visible_at, node, token)
            SELECT nextval('{{.literal}}.duroxide_ids'), v_ids[w.member], t_execution[w.member], w.schedule, w.name, w.input,
                w.session, w.tag, w.lane, w.timeout, w.attempt, w.retry_of, v_now,
                CASE WHEN NOT p_after AND w.rank <= v_left[w.member] THEN p_claimer END,
                CASE WHEN NOT p_after AND w.rank <= v_left[w.member] THEN p_token END
            FROM unnest(w_member, w_schedule, w_name, w_input, w_session, w_tag, w_lane, w_timeout, w_attempt, w_retry_of, w_rank)
                AS w(member, schedule, name, input, session, tag, lane, timeout, attempt, retry_of, rank)
            WHERE v_ids[w.member] IS NOT NULL
            RETURNING j.id, j.instance_id, j.schedule, j.token)
        SELECT 5, array_position(v_ids, x.instance_id), x.id, x.token, x.schedule, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM added x WHERE x.token IS NOT NULL;
    END IF;
    IF v_count > 0 AND p_after THEN
        member := 1;
        FOR r IN SELECT * FROM {{.schema}}.duroxide_claim(v_now, v_count, p_claimer, p_token, p_names, p_tags, p_any, p_held, p_may_take, p_label)
        LOOP
            WHILE v_left[member] <= 0 LOOP member := member + 1; END LOOP;
            v_left[member] := v_left[member] - 1;
            what := 6; id := r.id; token := p_token; a := r.execution; b := r.schedule; c := r.timeout_ms; d := r.attempt;
            e := r.retry_of; f := r.suspect::integer; g := r.attempts; t1 := r.instance; t2 := r.life; t3 := r.name; t4 := r.input;
            t5 := r.session; t6 := r.tag; t7 := r.orchestration; t8 := r.version;
            RETURN NEXT;
        END LOOP;
    END IF;

    IF p_rest IS NOT NULL THEN
        IF p_rest -> 'news' IS NOT NULL THEN
            INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, source)
            SELECT nextval('{{.literal}}.duroxide_ids'), v_ids[x.m], x.kind, coalesce(x.due, v_now), v_now, x.execution, x.source
            FROM json_to_recordset(p_rest -> 'news') x(m integer, kind text, due bigint, execution bigint, source bigint)
            WHERE v_ids[x.m] IS NOT NULL;
        END IF;
        IF p_rest -> 'starts' IS NOT NULL THEN
            -- A child whose id is in use is answered at once; a detached start then does nothing.
            SELECT array_agg(b.life) INTO v_lives
            FROM (SELECT array_agg(x.node) AS nodes, array_agg(x.instance) AS instances, array_agg(x.life) AS lives, array_agg(x.turn) AS turns,
                    array_agg(x.name) AS names, array_agg(x.version) AS versions, array_agg(x.input) AS inputs, array_agg(0::bigint) AS delays,
                    array_agg(CASE WHEN x.schedule > 0 THEN t_instance[x.m] END) AS parents,
                    array_agg(CASE WHEN x.schedule > 0 THEN t_life[x.m] END) AS parent_lives,
                    array_agg(CASE WHEN x.schedule > 0 THEN t_execution[x.m] END) AS parent_executions,
                    array_agg(CASE WHEN x.schedule > 0 THEN x.schedule END) AS parent_schedules
                FROM json_to_recordset(p_rest -> 'starts') x(m integer, instance text, life text, turn uuid, name text, version text,
                    input text, schedule bigint, node text) WHERE v_ids[x.m] IS NOT NULL) y
            CROSS JOIN LATERAL {{.schema}}.duroxide_begin(v_now, y.nodes, y.instances, y.lives, y.turns, y.names, y.versions, y.inputs,
                y.delays, y.parents, y.parent_lives, y.parent_executions, y.parent_schedules) b WHERE y.instances IS NOT NULL;
            RETURN QUERY SELECT 8, NULL::integer, NULL::bigint, NULL::uuid, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
                NULL::bigint, NULL::bigint, NULL::bigint, l, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM unnest(v_lives) l;
            INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, source, failure)
            SELECT nextval('{{.literal}}.duroxide_ids'), v_ids[x.m], 'child_failed', v_now, v_now, t_execution[x.m], x.schedule, x.refused
            FROM json_to_recordset(p_rest -> 'starts') x(m integer, life text, schedule bigint, refused text)
            WHERE v_ids[x.m] IS NOT NULL AND t_how[x.m] = 0 AND x.schedule > 0 AND NOT x.life = ANY (coalesce(v_lives, '{}'));
        END IF;
        IF p_rest -> 'sends' IS NOT NULL THEN
            RETURN QUERY
            WITH x AS MATERIALIZED (
                SELECT * FROM json_to_recordset(p_rest -> 'sends') x(m integer, instance text, life text, execution bigint, kind text,
                    message_id text, source bigint, name text, data text, failure text) WHERE v_ids[x.m] IS NOT NULL),
            y AS (SELECT array_agg(x.instance) AS instances, array_agg(x.life) AS lives, array_agg(x.execution) AS executions,
                array_agg(x.kind) AS kinds, array_agg(x.message_id) AS message_ids, array_agg(x.source) AS sources,
                array_agg(x.name) AS names, array_agg(x.data) AS datas, array_agg(x.failure) AS failures FROM x)
            SELECT 9, NULL::integer, NULL::bigint, NULL::uuid, s.visible_at, NULL::bigint, NULL::bigint, NULL::bigint,
                NULL::bigint, NULL::bigint, NULL::bigint, y.instances[s.ord], NULL, NULL, NULL, NULL, NULL, NULL, NULL
            FROM y CROSS JOIN LATERAL {{.schema}}.duroxide_deliver(v_now, y.instances, y.lives, y.executions, y.kinds, y.message_ids,
                y.sources, y.names, y.datas, y.failures) s WHERE y.instances IS NOT NULL AND s.stored;
        END IF;
        IF p_rest -> 'kv_cleared' IS NOT NULL THEN
            DELETE FROM {{.schema}}.duroxide_kv k USING json_to_recordset(p_rest -> 'kv_cleared') x(m integer)
                WHERE k.instance_id = v_ids[x.m];
        END IF;
        IF p_rest -> 'kv' IS NOT NULL THEN
            DELETE FROM {{.schema}}.duroxide_kv k USING json_to_recordset(p_rest -> 'kv') x(m integer, hash uuid, value text)
                WHERE k.instance_id = v_ids[x.m] AND k.key_hash = x.hash AND x.value IS NULL;
            INSERT INTO {{.schema}}.duroxide_kv (instance_id, key_hash, key, value, updated_at)
            SELECT v_ids[x.m], x.hash, x.key, x.value, x.at
            FROM json_to_recordset(p_rest -> 'kv') x(m integer, hash uuid, key text, value text, at bigint)
            WHERE v_ids[x.m] IS NOT NULL AND x.value IS NOT NULL
            ON CONFLICT (instance_id, key_hash) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at;
        END IF;
        IF p_rest -> 'status' IS NOT NULL THEN
            DELETE FROM {{.schema}}.duroxide_custom_status s USING json_to_recordset(p_rest -> 'status') x(m integer, text text)
                WHERE s.instance_id = v_ids[x.m] AND x.text IS NULL;
            INSERT INTO {{.schema}}.duroxide_custom_status (instance_id, text)
            SELECT v_ids[x.m], x.text FROM json_to_recordset(p_rest -> 'status') x(m integer, text text)
            WHERE v_ids[x.m] IS NOT NULL AND x.text IS NOT NULL
            ON CONFLICT (instance_id) DO UPDATE SET text = excluded.text;
        END IF;
    END IF;

    -- Who polls sees that something was committed even when no row has drawn an id.
    PERFORM nextval('{{.literal}}.duroxide_ids');
    v_count := 0;
    IF p_lease > 0 THEN
        UPDATE {{.schema}}.duroxide_nodes n SET until = v_now + p_lease WHERE n.node = p_node;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    END IF;
    -- Mail that somebody waits for becomes visible, other mail of this instance is hidden.
    IF p_mail OR 2 = ANY (t_how) THEN
        UPDATE {{.schema}}.duroxide_messages m SET visible_at = CASE WHEN t.open ? m.name THEN v_now END
        FROM (SELECT v_ids[n] AS id, t_open[n]::jsonb AS open FROM generate_subscripts(t_open, 1) n WHERE v_ids[n] IS NOT NULL AND t_how[n] <> 1) t
        WHERE m.instance_id = t.id AND m.kind = 'mail' AND (m.visible_at IS NOT NULL) <> (t.open ? m.name);
    END IF;
    v_sure := {{.schema}}.duroxide_confirm(p_call);
    RETURN QUERY SELECT 1, n, NULL::bigint, NULL::uuid, v_now, v_count, v_custom[n], NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM generate_subscripts(v_ids, 1) n WHERE v_ids[n] IS NOT NULL;
    -- Read last: what the members sent to each other is in it.
    RETURN QUERY SELECT u.what, t.ord::integer, u.id, NULL::uuid, u.visible_at, u.inserted_at, u.execution, u.source, NULL::bigint,
        NULL::bigint, NULL::bigint, u.kind, u.message_id, u.name, u.data, u.failure, NULL, NULL, NULL
        FROM unnest(v_ids, t_how, t_used) WITH ORDINALITY AS t(id, how, used, ord)
        CROSS JOIN LATERAL {{.schema}}.duroxide_untaken(t.id, t.used::jsonb, v_now) u
        WHERE t.id IS NOT NULL AND t.how <> 1;
END
$duroxide$;
