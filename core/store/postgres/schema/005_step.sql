-- Commits one turn that only takes results and messages, appends history, and inserts jobs, or ends the instance: what
-- most turns do. p_recorded: ids of client messages that the turn's events hold, when it ends. It promises and answers what duroxide_commit does for such a turn, with statements for single rows, which
-- cost the server about a third; everything else goes there.
CREATE FUNCTION {{.schema}}.duroxide_step(
    p_node text, p_lease bigint,
    t_instance text, t_life text, t_expect uuid, t_turn uuid, t_execution bigint, t_node text, t_name text, t_version text,
    t_next bigint, t_begins boolean, t_ended boolean, t_status text, t_output text, t_failure text, p_recorded text[],
    c_row bigint[], j_id bigint[], j_token uuid[], h_first bigint, h_last bigint, h_events text,
    w_schedule bigint[], w_name text[], w_input text[], w_tag text[], w_lane bigint[], w_timeout bigint[], w_attempt integer[],
    w_retry_of bigint[], w_rank bigint[],
    p_claimer text, p_limit bigint, p_token uuid, p_names text[], p_tags text[], p_any boolean, p_held text[], p_may_take integer,
    p_label text, p_call bigint)
RETURNS TABLE (what integer, member integer, id bigint, token uuid, a bigint, b bigint, c bigint, d bigint, e bigint, f bigint,
    g bigint, t1 text, t2 text, t3 text, t4 text, t5 text, t6 text, t7 text, t8 text)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now   bigint := {{.schema}}.duroxide_now();
    v_id    bigint;
    v_custom bigint; -- version of the custom status
    v_new   bigint;
    v_count bigint;
    v_left  bigint := p_limit;
    v_sure  boolean;
    r       record;
BEGIN
    IF t_begins OR t_ended THEN
        UPDATE {{.schema}}.duroxide_instances i SET turn = t_turn, node = t_node, updated_at = v_now, name = coalesce(t_name, i.name),
            version = coalesce(t_version, i.version), next_event = coalesce(t_next, i.next_event), status = t_status,
            output = t_output, failure = t_failure, started_at = CASE WHEN t_begins THEN v_now ELSE i.started_at END,
            completed_at = CASE WHEN t_ended THEN v_now END, open_queues = '[]', used_queues = '[]', suspect = false, attempts = 0
        WHERE i.instance = t_instance AND i.life = t_life AND i.turn = t_expect AND i.execution = t_execution
        RETURNING i.id, i.custom_status_version INTO v_id, v_custom;
    ELSE
        UPDATE {{.schema}}.duroxide_instances i SET turn = t_turn, node = t_node, updated_at = v_now,
            next_event = coalesce(t_next, i.next_event), suspect = false, attempts = 0
        WHERE i.instance = t_instance AND i.life = t_life AND i.turn = t_expect AND i.execution = t_execution
        RETURNING i.id, i.custom_status_version INTO v_id, v_custom;
    END IF;
    member := 1;
    IF v_id IS NULL THEN
        what := 2;
        RETURN NEXT;
        RETURN;
    END IF;
    IF cardinality(j_id) = 1 THEN
        DELETE FROM {{.schema}}.duroxide_jobs j WHERE j.id = j_id[1] AND j.token = j_token[1];
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a consumed job is no longer claimed' USING ERRCODE = 'DX001';
        END IF;
    ELSIF cardinality(j_id) > 1 THEN
        DELETE FROM {{.schema}}.duroxide_jobs j USING unnest(j_id, j_token) AS x(id, token) WHERE j.id = x.id AND j.token = x.token;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        IF v_count < cardinality(j_id) THEN
            RAISE EXCEPTION 'a consumed job is no longer claimed' USING ERRCODE = 'DX001';
        END IF;
    END IF;
    IF cardinality(c_row) > 0 THEN
        DELETE FROM {{.schema}}.duroxide_messages m WHERE m.id = ANY (c_row) AND m.instance_id = v_id;
    END IF;
    IF h_events IS NOT NULL THEN
        INSERT INTO {{.schema}}.duroxide_history (instance_id, execution, first_event, last_event, events)
        VALUES (v_id, t_execution, h_first, h_last, h_events);
    END IF;
    -- Mostly nothing is left.
    IF t_ended AND (EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.instance_id = v_id)
        OR EXISTS (SELECT FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind <> 'mail')
        OR EXISTS (SELECT FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind = 'mail'))
    THEN
        FOR r IN DELETE FROM {{.schema}}.duroxide_jobs j WHERE j.instance_id = v_id RETURNING j.id AS id, j.token AS token LOOP
            IF r.token IS NOT NULL THEN
                what := 7; id := r.id; token := r.token;
                RETURN NEXT;
            END IF;
        END LOOP;
        FOR r IN DELETE FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind <> 'mail'
            RETURNING m.message_id AS message_id LOOP
            IF r.message_id IS NOT NULL AND NOT r.message_id = ANY (p_recorded) THEN
                INSERT INTO {{.schema}}.duroxide_taken (message_id, inserted_at) VALUES (r.message_id, v_now);
            END IF;
        END LOOP;
        FOR r IN DELETE FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind = 'mail'
            RETURNING m.message_id AS message_id LOOP
            IF r.message_id IS NOT NULL AND NOT r.message_id = ANY (p_recorded) THEN
                INSERT INTO {{.schema}}.duroxide_taken (message_id, inserted_at) VALUES (r.message_id, v_now);
            END IF;
        END LOOP;
    END IF;

    IF v_left > 0 THEN
        IF EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.token IS NULL AND j.session = '' AND j.lane > -9223372036854775808)
            OR EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session > '')
        THEN
            FOR r IN SELECT * FROM {{.schema}}.duroxide_claim(v_now, v_left, p_claimer, p_token, p_names, p_tags, p_any, p_held, p_may_take,
                p_label)
            LOOP
                v_left := v_left - 1;
                what := 6; id := r.id; token := p_token; a := r.execution; b := r.schedule; c := r.timeout_ms; d := r.attempt;
                e := r.retry_of; f := r.suspect::integer; g := r.attempts; t1 := r.instance; t2 := r.life; t3 := r.name; t4 := r.input;
                t5 := r.session; t6 := r.tag; t7 := r.orchestration; t8 := r.version;
                RETURN NEXT;
            END LOOP;
        END IF;
    END IF;
    FOR n IN 1..cardinality(w_schedule) LOOP
        INSERT INTO {{.schema}}.duroxide_jobs AS j (id, instance_id, execution, schedule, name, input, tag, lane, timeout_ms, attempt,
            retry_of, visible_at, node, token)
        VALUES (nextval('{{.literal}}.duroxide_ids'), v_id, t_execution, w_schedule[n], w_name[n], w_input[n], w_tag[n], w_lane[n],
            w_timeout[n], w_attempt[n], w_retry_of[n], v_now, CASE WHEN w_rank[n] <= v_left THEN p_claimer END,
            CASE WHEN w_rank[n] <= v_left THEN p_token END)
        RETURNING j.id INTO v_new;
        IF w_rank[n] <= v_left THEN
            what := 5; id := v_new; token := p_token; a := w_schedule[n];
            RETURN NEXT;
        END IF;
    END LOOP;

    v_count := nextval('{{.literal}}.duroxide_ids');
    v_count := 0;
    IF p_lease > 0 THEN
        UPDATE {{.schema}}.duroxide_nodes n SET until = v_now + p_lease WHERE n.node = p_node;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    END IF;
    v_sure := {{.schema}}.duroxide_confirm(p_call);
    what := 1; id := NULL; token := NULL; a := v_now; b := v_count; c := v_custom;
    RETURN NEXT;
    IF NOT t_ended THEN
        IF EXISTS (SELECT FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind <> 'mail') THEN
            RETURN QUERY SELECT u.what, 1, u.id, NULL::uuid, u.visible_at, u.inserted_at, u.execution, u.source, NULL::bigint,
                NULL::bigint, NULL::bigint, u.kind, u.message_id, u.name, u.data, u.failure, NULL, NULL, NULL
                FROM {{.schema}}.duroxide_untaken(v_id, '[]', v_now) u;
        END IF;
    END IF;
END
$duroxide$;
