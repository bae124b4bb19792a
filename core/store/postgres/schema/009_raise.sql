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
