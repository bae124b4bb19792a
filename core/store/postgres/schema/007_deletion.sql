-- An instance and everything started below it. Links carry the life of the parent: what an earlier instance of the same
-- id has started is not its child.
CREATE FUNCTION {{.schema}}.duroxide_tree(p_instance text) RETURNS TABLE (id bigint, instance text, depth integer)
LANGUAGE sql STABLE AS $duroxide$
    WITH RECURSIVE tree AS (
        SELECT i.id, i.instance, i.life, 0 AS depth FROM {{.schema}}.duroxide_instances i WHERE i.instance = p_instance
        UNION ALL
        SELECT i.id, i.instance, i.life, tree.depth + 1
        FROM tree JOIN {{.schema}}.duroxide_instances i ON i.parent_instance = tree.instance AND i.parent_life = tree.life)
    SELECT tree.id, tree.instance, tree.depth FROM tree
$duroxide$;

-- Removes an instance with all its descendants. Without force each of them has to have ended: a child may run on after its
-- parent. verdict: 'missing', 'child', 'running' (then blocker names the one), 'deleted'.
CREATE FUNCTION {{.schema}}.duroxide_delete(p_instance text, p_force boolean)
RETURNS TABLE (verdict text, blocker text, instances bigint, executions bigint, events bigint, messages bigint, removed text[],
    lost_id bigint[], lost_token uuid[])
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_ids    bigint[] := '{}';
    v_locked bigint[];
    v_count  bigint;
BEGIN
    -- A commit may add children until its instance is locked.
    LOOP
        v_locked := ARRAY(SELECT t.id FROM {{.schema}}.duroxide_tree(p_instance) t ORDER BY t.id);
        EXIT WHEN v_locked = v_ids;
        v_ids := v_locked;
        PERFORM 1 FROM {{.schema}}.duroxide_instances i WHERE i.id = ANY (v_ids) ORDER BY i.instance FOR UPDATE;
    END LOOP;
    SELECT CASE WHEN i.parent_instance IS NOT NULL THEN 'child' ELSE 'deleted' END INTO verdict
        FROM {{.schema}}.duroxide_instances i WHERE i.instance = p_instance;
    verdict := coalesce(verdict, 'missing');
    IF verdict = 'deleted' AND NOT p_force THEN
        SELECT i.instance INTO blocker FROM {{.schema}}.duroxide_instances i WHERE i.id = ANY (v_ids) AND i.status = 'Running' LIMIT 1;
        IF FOUND THEN
            verdict := 'running';
        END IF;
    END IF;
    IF verdict = 'deleted' THEN
        WITH h AS (DELETE FROM {{.schema}}.duroxide_history h WHERE h.instance_id = ANY (v_ids) RETURNING h.last_event - h.first_event + 1 AS n)
            SELECT coalesce(sum(h.n), 0) INTO events FROM h;
        DELETE FROM {{.schema}}.duroxide_executions e WHERE e.instance_id = ANY (v_ids);
        GET DIAGNOSTICS executions = ROW_COUNT;
        DELETE FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = ANY (v_ids) AND m.kind <> 'mail';
        GET DIAGNOSTICS messages = ROW_COUNT;
        DELETE FROM {{.schema}}.duroxide_messages m WHERE m.instance_id = ANY (v_ids) AND m.kind = 'mail';
        GET DIAGNOSTICS v_count = ROW_COUNT;
        messages := messages + v_count;
        WITH j AS (DELETE FROM {{.schema}}.duroxide_jobs j WHERE j.instance_id = ANY (v_ids) RETURNING j.id, j.token)
            SELECT messages + count(*), array_agg(j.id) FILTER (WHERE j.token IS NOT NULL),
                array_agg(j.token) FILTER (WHERE j.token IS NOT NULL) INTO messages, lost_id, lost_token FROM j;
        DELETE FROM {{.schema}}.duroxide_kv k WHERE k.instance_id = ANY (v_ids);
        DELETE FROM {{.schema}}.duroxide_custom_status s WHERE s.instance_id = ANY (v_ids);
        WITH i AS (DELETE FROM {{.schema}}.duroxide_instances i WHERE i.id = ANY (v_ids) RETURNING i.instance)
            SELECT array_agg(i.instance), count(*), executions + count(*) INTO removed, instances, executions FROM i;
        PERFORM nextval('{{.literal}}.duroxide_ids');
    END IF;
    RETURN NEXT;
END
$duroxide$;

-- Starts an instance. p_restart: one of this id that has ended is deleted first, under the rules of deletion.
CREATE FUNCTION {{.schema}}.duroxide_start(p_instance text, p_life text, p_turn uuid, p_name text, p_version text, p_input text,
    p_delay bigint, p_node text, p_restart boolean, p_call bigint)
RETURNS TABLE (started boolean, at bigint, message bigint, removed text[], lost_id bigint[], lost_token uuid[])
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
DECLARE
    d       record;
    v_begun bigint[];
BEGIN
    at := {{.schema}}.duroxide_now();
    FOR attempt IN 1..2 LOOP
        v_begun := {{.schema}}.duroxide_begin_one(p_node, p_instance, p_life, p_turn, p_name, p_version, p_input, p_delay, NULL);
        started := v_begun IS NOT NULL;
        at := coalesce(v_begun[1], at);
        message := v_begun[2];
        EXIT WHEN started OR NOT p_restart OR attempt = 2;
        SELECT * INTO d FROM {{.schema}}.duroxide_delete(p_instance, false);
        EXIT WHEN d.verdict = 'child';
        IF d.verdict = 'running' THEN
            -- Running itself, it is left alone; running descendants forbid it.
            IF d.blocker <> p_instance AND NOT EXISTS (SELECT FROM {{.schema}}.duroxide_instances i
                WHERE i.instance = p_instance AND i.status = 'Running') THEN
                RAISE EXCEPTION '%', d.blocker USING ERRCODE = 'DX002';
            END IF;
            EXIT;
        END IF;
        removed := d.removed; lost_id := d.lost_id; lost_token := d.lost_token;
    END LOOP;
    PERFORM {{.schema}}.duroxide_confirm(p_call);
    RETURN NEXT;
END
$duroxide$;

-- Removes executions before the current one.
CREATE FUNCTION {{.schema}}.duroxide_prune(p_instances bigint[], p_keep bigint, p_before bigint)
RETURNS TABLE (executions bigint, events bigint)
LANGUAGE sql AS $duroxide$
    WITH old AS (
        DELETE FROM {{.schema}}.duroxide_executions e USING {{.schema}}.duroxide_instances i
        WHERE i.id = ANY (p_instances) AND e.instance_id = i.id AND e.execution <= i.execution - 1 - p_keep
            AND (p_before = 0 OR e.completed_at < p_before)
        RETURNING e.instance_id, e.execution, e.event_count),
    events AS (
        DELETE FROM {{.schema}}.duroxide_history h USING old WHERE h.instance_id = old.instance_id AND h.execution = old.execution)
    SELECT count(*), coalesce(sum(old.event_count), 0)::bigint FROM old
$duroxide$;
