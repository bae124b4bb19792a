-- Commits one turn that takes at most one result and one message, appends history, and inserts at most one job, or ends an
-- instance of which nothing else is left: what most turns do. It promises what duroxide_commit does for such a turn, with
-- statements for single rows and an answer of numbers, for a third of the server's time. What turns out to need more raises
-- DX004, which undoes the call: where something is left of an instance that ends, or where other jobs wait, which may be older
-- than the one to be claimed. p_claimer null = the job is not to be claimed. p_begin: the instance is inserted, with the mail
-- that came before it, unless its id is in use.
--
-- The answer: null = fenced, or in use; else [store's time, 1 when the node's lease was renewed, version of the custom status, row of the
-- job or 0, when the next message is due or 0, row of the instance].
CREATE FUNCTION {{.schema}}.duroxide_step(
    p_node text, p_lease bigint, p_begin boolean,
    t_instance text, t_life text, t_expect uuid, t_turn uuid, t_execution bigint, t_name text, t_version text,
    t_next bigint, t_begins boolean, t_ended boolean, t_status text, t_output text, t_failure text,
    c_row bigint, j_id bigint, j_token uuid, h_first bigint, h_last bigint, h_events text,
    w_schedule bigint, w_name text, w_input text, w_tag text, w_lane bigint, w_timeout bigint, w_attempt integer, w_retry_of bigint,
    p_claimer text, p_token uuid, p_call bigint)
RETURNS bigint[]
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now     bigint := {{.schema}}.duroxide_now();
    v_id      bigint;
    v_custom  bigint; -- version of the custom status
    v_due     bigint;
    v_voided  boolean;
    v_more    boolean;
    v_job     bigint := 0;
    v_renewed bigint := 0;
BEGIN
    IF p_begin THEN
        INSERT INTO {{.schema}}.duroxide_instances AS i (instance, life, turn, execution, name, version, status, output, failure,
            next_event, node, created_at, updated_at, started_at, completed_at)
        VALUES (t_instance, t_life, t_turn, t_execution, t_name, t_version, t_status, t_output, t_failure, t_next, p_node, v_now,
            v_now, v_now, CASE WHEN t_ended THEN v_now END)
        ON CONFLICT (instance) DO NOTHING RETURNING i.id, i.custom_status_version INTO v_id, v_custom;
    ELSIF t_begins OR t_ended THEN
        UPDATE {{.schema}}.duroxide_instances i SET turn = t_turn, node = p_node, updated_at = v_now, name = coalesce(t_name, i.name),
            version = coalesce(t_version, i.version), next_event = coalesce(t_next, i.next_event), status = t_status,
            output = t_output, failure = t_failure, started_at = CASE WHEN t_begins THEN v_now ELSE i.started_at END,
            completed_at = CASE WHEN t_ended THEN v_now END, open_queues = '[]', used_queues = '[]', suspect = false, attempts = 0
        WHERE i.instance = t_instance AND i.life = t_life AND i.turn = t_expect AND i.execution = t_execution
        RETURNING i.id, i.custom_status_version INTO v_id, v_custom;
    ELSE
        UPDATE {{.schema}}.duroxide_instances i SET turn = t_turn, node = p_node, updated_at = v_now,
            next_event = coalesce(t_next, i.next_event), suspect = false, attempts = 0
        WHERE i.instance = t_instance AND i.life = t_life AND i.turn = t_expect AND i.execution = t_execution
        RETURNING i.id, i.custom_status_version INTO v_id, v_custom;
    END IF;
    IF v_id IS NULL THEN
        RETURN NULL;
    END IF;
    IF p_begin THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(t_instance, 0));
        IF EXISTS (SELECT FROM {{.schema}}.duroxide_early_mail e WHERE e.instance = t_instance) THEN
            PERFORM {{.schema}}.duroxide_take_early(v_now, ARRAY[t_instance]);
        END IF;
    END IF;
    IF j_id IS NOT NULL THEN
        DELETE FROM {{.schema}}.duroxide_jobs j WHERE j.id = j_id AND j.token = j_token;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a consumed job is no longer claimed' USING ERRCODE = 'DX001';
        END IF;
    END IF;
    IF c_row IS NOT NULL THEN
        DELETE FROM {{.schema}}.duroxide_messages m WHERE m.id = c_row AND m.instance_id = v_id;
    END IF;
    IF h_events IS NOT NULL THEN
        INSERT INTO {{.schema}}.duroxide_history (instance_id, execution, first_event, last_event, events)
        VALUES (v_id, t_execution, h_first, h_last, h_events);
    END IF;
    IF p_lease > 0 THEN
        UPDATE {{.schema}}.duroxide_nodes n SET until = v_now + p_lease WHERE n.node = p_node;
        GET DIAGNOSTICS v_renewed = ROW_COUNT;
    END IF;

    -- What duroxide_confirm does, in one statement with all else that is looked for: no row is waited for from here on.
    IF NOT pg_try_advisory_xact_lock(p_call) THEN
        RAISE EXCEPTION 'the call is being given up' USING ERRCODE = 'DX003';
    END IF;
    IF t_ended THEN
        SELECT EXISTS (SELECT FROM {{.schema}}.duroxide_voided v WHERE v.call = p_call),
            EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.instance_id = v_id)
                OR EXISTS (SELECT FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind <> 'mail')
                OR EXISTS (SELECT FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind = 'mail')
            INTO v_voided, v_more;
    ELSE
        SELECT EXISTS (SELECT FROM {{.schema}}.duroxide_voided v WHERE v.call = p_call),
            (SELECT m.visible_at FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind <> 'mail'
                ORDER BY m.visible_at LIMIT 1),
            p_claimer IS NOT NULL AND (EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j
                    WHERE j.token IS NULL AND j.session = '' AND j.lane > -9223372036854775808)
                OR EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session > ''))
            INTO v_voided, v_due, v_more;
    END IF;
    IF v_voided THEN
        RAISE EXCEPTION 'the call was given up' USING ERRCODE = 'DX003';
    END IF;
    IF v_more THEN
        RAISE EXCEPTION 'the turn does more than a step' USING ERRCODE = 'DX004';
    END IF;
    IF w_schedule IS NULL THEN
        v_job := nextval('{{.literal}}.duroxide_ids'); -- who polls sees that something was committed
        v_job := 0;
    ELSE
        v_job := nextval('{{.literal}}.duroxide_ids');
        INSERT INTO {{.schema}}.duroxide_jobs (id, instance_id, execution, schedule, name, input, tag, lane, timeout_ms, attempt,
            retry_of, visible_at, node, token)
        VALUES (v_job, v_id, t_execution, w_schedule, w_name, w_input, w_tag, w_lane, w_timeout, w_attempt, w_retry_of, v_now,
            p_claimer, CASE WHEN p_claimer IS NOT NULL THEN p_token END);
    END IF;
    RETURN ARRAY[v_now, v_renewed, v_custom, v_job, coalesce(v_due, 0), v_id];
END
$duroxide$;
