-- Stores one message for an instance that the caller has in memory at its turn, when nothing else is due for it and it has not
-- used queues: then the message is all that its next turn needs. The answer: [store's time, row of the message, when the next
-- one is due or 0]; null = nothing was done.
CREATE FUNCTION {{.schema}}.duroxide_raise_one(p_instance text, p_kind text, p_message_id text, p_name text, p_data text, p_have uuid,
    p_call bigint)
RETURNS bigint[]
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now    bigint;
    v_id     bigint;
    v_row    bigint;
    v_due    bigint;
    v_voided boolean;
BEGIN
    -- Nobody can delete the instance while its message is inserted.
    SELECT i.id INTO v_id FROM {{.schema}}.duroxide_instances i
        WHERE i.instance = p_instance AND i.turn = p_have AND i.status = 'Running' AND i.next_event > 1 AND i.used_queues = '[]'
        FOR KEY SHARE;
    IF v_id IS NULL THEN
        RETURN NULL;
    END IF;
    v_now := {{.schema}}.duroxide_now();
    v_row := nextval('{{.literal}}.duroxide_ids');
    -- As duroxide_confirm does.
    IF NOT pg_try_advisory_xact_lock(p_call) THEN
        RAISE EXCEPTION 'the call is being given up' USING ERRCODE = 'DX003';
    END IF;
    SELECT EXISTS (SELECT FROM {{.schema}}.duroxide_voided v WHERE v.call = p_call),
        (SELECT m.visible_at FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = v_id AND m.kind <> 'mail'
            ORDER BY m.visible_at LIMIT 1)
        INTO v_voided, v_due;
    IF v_voided THEN
        RAISE EXCEPTION 'the call was given up' USING ERRCODE = 'DX003';
    END IF;
    IF v_due <= v_now THEN
        RETURN NULL;
    END IF;
    INSERT INTO {{.schema}}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, message_id, name, data)
    VALUES (v_row, v_id, p_kind, v_now, v_now, p_message_id, p_name, p_data);
    RETURN ARRAY[v_now, v_row, coalesce(v_due, 0)];
END
$duroxide$;
