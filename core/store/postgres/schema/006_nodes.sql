-- Nodes that have claimed jobs, or own sessions, and have no row: taken for dead once, they went on for a moment. The claims
-- are walked through node by node, not row by row.
CREATE FUNCTION {{.schema}}.duroxide_strays() RETURNS TABLE (node text) LANGUAGE sql STABLE AS $duroxide$
    WITH RECURSIVE claimers AS (
        (SELECT j.node FROM {{.schema}}.duroxide_jobs j WHERE j.token IS NOT NULL ORDER BY j.node LIMIT 1)
        UNION ALL
        SELECT n.node FROM claimers c CROSS JOIN LATERAL (SELECT j.node FROM {{.schema}}.duroxide_jobs j
            WHERE j.token IS NOT NULL AND j.node > c.node ORDER BY j.node LIMIT 1) n),
    owners AS (
        (SELECT s.node FROM {{.schema}}.duroxide_sessions s WHERE s.node IS NOT NULL ORDER BY s.node LIMIT 1)
        UNION ALL
        SELECT n.node FROM owners o CROSS JOIN LATERAL (SELECT s.node FROM {{.schema}}.duroxide_sessions s
            WHERE s.node IS NOT NULL AND s.node > o.node ORDER BY s.node LIMIT 1) n)
    SELECT c.node FROM claimers c WHERE NOT EXISTS (SELECT FROM {{.schema}}.duroxide_nodes n WHERE n.node = c.node)
    UNION
    SELECT o.node FROM owners o WHERE NOT EXISTS (SELECT FROM {{.schema}}.duroxide_nodes n WHERE n.node = o.node)
$duroxide$;

-- Extends a node's lease if nobody else has (compare-and-swap on the counter: one that is larger than ours is another's, but
-- for the p_unsure renewals before, which may have been applied, for their answers were lost; a crash of the server, or a
-- fail-over, may have undone some), and on the way forgets what has been kept long enough. until is NULL when the row is
-- gone; min_writer above p_writer renews nothing. All that an idle node wants to know comes along: whether anything waits
-- (ready, jobs, next_due), the other nodes (o_*), whether there are strays, how far the counter is that every write moves
-- (drawn), the oldest transaction under way (oldest) and this one (next); and the notification by which it tests that they
-- come through. A renewal that a crash of the server undoes is only a lease that seems over too early, so nobody waits for
-- the disk.
CREATE FUNCTION {{.schema}}.duroxide_renew(p_node text, p_counter bigint, p_lease bigint, p_writer integer, p_channel text, p_mark text,
    p_unsure bigint, p_call bigint)
RETURNS TABLE (until bigint, counter bigint, min_writer integer, at bigint, ready boolean, jobs boolean, next_due bigint, strays boolean,
    o_node text[], o_until bigint[], o_boot text[], o_namespace text[], o_pid bigint[], o_started text[],
    drawn bigint, oldest bigint, next bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Before this transaction is one of those under way. A role that may not read the sequence renews all the same.
    IF has_sequence_privilege('{{.literal}}.duroxide_ids', 'SELECT') THEN
        SELECT c.last_value + c.is_called::integer, pg_snapshot_xmin(pg_current_snapshot())::text::bigint INTO drawn, oldest
            FROM {{.schema}}.duroxide_ids c;
        next := pg_current_xact_id()::text::bigint;
    END IF;
    at := {{.schema}}.duroxide_now();
    min_writer := (SELECT m.value::integer FROM {{.schema}}.duroxide_meta m WHERE m.key = 'min_writer');
    IF min_writer <= p_writer THEN
        UPDATE {{.schema}}.duroxide_nodes n SET counter = n.counter + 1, until = at + p_lease
            WHERE n.node = p_node AND n.counter <= p_counter + p_unsure
            RETURNING n.until, n.counter INTO until, counter;
        DELETE FROM {{.schema}}.duroxide_taken t WHERE t.inserted_at < at - 300000;
        DELETE FROM {{.schema}}.duroxide_answers k WHERE k.inserted_at < at - 300000;
        DELETE FROM {{.schema}}.duroxide_early_mail e WHERE e.inserted_at < at - 604800000;
    END IF;
    ready := EXISTS (SELECT FROM {{.schema}}.duroxide_messages m WHERE m.visible_at IS NOT NULL AND m.visible_at <= at);
    next_due := (SELECT m.visible_at FROM {{.schema}}.duroxide_messages m WHERE m.visible_at IS NOT NULL AND m.visible_at > at
        ORDER BY m.visible_at LIMIT 1);
    jobs := EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.token IS NULL AND j.session = '' AND j.lane >= -9223372036854775808)
        OR EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session > '' AND j.token IS NULL);
    strays := EXISTS (SELECT FROM {{.schema}}.duroxide_strays());
    SELECT array_agg(n.node), array_agg(n.until), array_agg(coalesce(n.boot, '')), array_agg(coalesce(n.namespace, '')),
        array_agg(coalesce(n.pid, 0)), array_agg(coalesce(n.started, ''))
        INTO o_node, o_until, o_boot, o_namespace, o_pid, o_started
        FROM {{.schema}}.duroxide_nodes n WHERE n.node <> p_node;
    IF p_mark <> '' THEN
        PERFORM pg_notify(p_channel, p_mark);
    END IF;
    PERFORM {{.schema}}.duroxide_confirm(p_call);
    RETURN NEXT;
END
$duroxide$;

-- Ends what server processes still do for a node that is given up. A stopped process that does not read its answer keeps them
-- from ending, and with them the locks of its last commit. Behind a pooler none is found. One that belongs to another role,
-- or to a node that lives in the same process, is left alone.
CREATE FUNCTION {{.schema}}.duroxide_cut_off(p_node text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $duroxide$
BEGIN
    PERFORM pg_terminate_backend(a.pid)
        FROM {{.schema}}.duroxide_nodes n
        JOIN pg_locks l ON l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid = (n.connections >> 32)::oid
            AND l.objid = (n.connections & 4294967295)::oid AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE n.node = p_node AND a.state = 'active' AND a.pid <> pg_backend_pid() AND pg_has_role(a.usesysid, 'USAGE')
            AND NOT EXISTS (SELECT FROM {{.schema}}.duroxide_nodes o
                WHERE o.connections = n.connections AND o.node <> p_node AND o.until >= p_now);
EXCEPTION WHEN insufficient_privilege THEN
    NULL; -- then they are waited for
END
$duroxide$;

-- Removes a node's row and frees everything that it held. p_how: 'leave' = it goes by itself; 'lapsed' = only if its lease
-- is over; 'dead' = its process is gone; 'stray' = it has no row any more, but claimed all the same. Unless it left, what it
-- was working at is suspect. A row that somebody keeps locked is not waited for for long: other nodes may be dead too.
CREATE FUNCTION {{.schema}}.duroxide_bury(p_node text, p_how text)
RETURNS TABLE (gone boolean, jobs boolean, ready text[])
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET lock_timeout = '2s'
AS $duroxide$
#variable_conflict use_column
DECLARE
    v_now     bigint := {{.schema}}.duroxide_now();
    v_touched bigint[];
BEGIN
    gone := false; jobs := false;
    IF p_how = 'dead' OR p_how = 'lapsed' AND EXISTS (
        SELECT FROM {{.schema}}.duroxide_nodes n WHERE n.node = p_node AND n.until < v_now)
    THEN
        PERFORM {{.schema}}.duroxide_cut_off(p_node, v_now);
    END IF;
    DELETE FROM {{.schema}}.duroxide_nodes n WHERE n.node = p_node AND (p_how <> 'lapsed' OR n.until < v_now);
    IF FOUND OR p_how = 'stray' OR p_how = 'leave' THEN
        gone := true;
        -- Instances are locked before jobs, as commits do.
        v_touched := ARRAY(
            SELECT i.id FROM {{.schema}}.duroxide_instances i WHERE i.id = ANY (
                SELECT j.instance_id FROM {{.schema}}.duroxide_jobs j WHERE j.token IS NOT NULL AND j.node = p_node
                UNION
                SELECT m.instance_id FROM {{.schema}}.duroxide_messages m JOIN {{.schema}}.duroxide_instances o ON o.id = m.instance_id
                WHERE m.visible_at IS NOT NULL AND m.visible_at <= v_now AND o.node = p_node)
            ORDER BY i.instance FOR NO KEY UPDATE);
        UPDATE {{.schema}}.duroxide_jobs j SET node = NULL, token = NULL, suspect = j.suspect OR p_how <> 'leave'
            WHERE j.token IS NOT NULL AND j.node = p_node;
        jobs := FOUND;
        IF p_how = 'leave' THEN
            UPDATE {{.schema}}.duroxide_instances i SET node = '' WHERE i.id = ANY (v_touched) AND i.node = p_node;
        ELSE
            WITH u AS (
                UPDATE {{.schema}}.duroxide_instances i SET node = '', suspect = true WHERE i.id = ANY (v_touched) RETURNING i.instance)
            SELECT array_agg(u.instance) INTO ready FROM u;
        END IF;
        -- Without a label nobody is waited for.
        DELETE FROM {{.schema}}.duroxide_sessions s WHERE s.node = p_node AND s.label = '';
        UPDATE {{.schema}}.duroxide_sessions s SET node = NULL, last_used = v_now WHERE s.node = p_node;
    END IF;
    RETURN NEXT;
END
$duroxide$;

-- Gives up sessions that a node owns. A session of which a job is claimed has been taken again: what is claimed is looked up
-- when the rows are locked, as claims lock them.
CREATE FUNCTION {{.schema}}.duroxide_release(p_node text, p_sessions text[]) RETURNS integer
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $duroxide$
DECLARE
    v_released integer;
BEGIN
    PERFORM 1 FROM {{.schema}}.duroxide_sessions s WHERE s.session = ANY (p_sessions) AND s.node = p_node ORDER BY s.session FOR UPDATE;
    DELETE FROM {{.schema}}.duroxide_sessions s WHERE s.session = ANY (p_sessions) AND s.node = p_node
        AND NOT EXISTS (SELECT FROM {{.schema}}.duroxide_jobs j WHERE j.session <> '' AND j.session = s.session AND j.token IS NOT NULL);
    GET DIAGNOSTICS v_released = ROW_COUNT;
    RETURN v_released;
END
$duroxide$;
