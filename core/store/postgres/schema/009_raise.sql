-- Stores one message and reads what the next turn of its instance needs, when its turn is still the one that the caller has
-- in memory. The first row (what = 0) tells of the message: id 1 = stored, n1 = visible at; the others are those of
-- duroxide_load.
CREATE FUNCTION {{.schema}}.duroxide_raise(p_limit bigint, p_instance text, p_kind text, p_message_id text, p_name text, p_data text,
    p_have uuid, p_call bigint)
RETURNS TABLE (what integer, id bigint, n1 bigint, n2 bigint, n3 bigint, n4 bigint, t1 text, t2 text, t3 text, t4 text, t5 text,
    turn uuid, used text, parent text, parent_life text, parent_execution bigint, parent_schedule bigint, node text, attempts integer,
    at bigint)
LANGUAGE plpgsql
AS $duroxide$
#variable_conflict use_column
DECLARE
    e record;
BEGIN
    SELECT * INTO e FROM {{.schema}}.duroxide_enqueue(p_limit, ARRAY[p_instance], ARRAY[p_kind], ARRAY[p_message_id], ARRAY[p_name],
        ARRAY[p_data], p_call);
    what := 0; id := CASE WHEN e.stored THEN 1 ELSE 0 END; n1 := e.visible_at; at := e.at;
    RETURN NEXT;
    IF e.stored AND EXISTS (SELECT FROM {{.schema}}.duroxide_instances i WHERE i.instance = p_instance AND i.turn = p_have) THEN
        RETURN QUERY SELECT l.* FROM {{.schema}}.duroxide_load(p_instance, p_have) l;
    END IF;
END
$duroxide$;

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
