-- All facts of one table as one text, so that they are of one snapshot.
with recursive tree (oid) as (
    select $1::oid
    union
    select i.inhrelid
    from tree as t
    join pg_inherits as i on i.inhparent = t.oid
    join pg_class as c on c.oid = i.inhrelid
    where c.relispartition or starts_with(obj_description(c.oid, 'pg_class'), 'tierkeep: archived partition ')
),
sizes as (
    select
        c.oid,
        c.relkind,
        pg_relation_size(c.oid) as bytes,
        pg_total_relation_size(c.oid) as total_bytes,
        -- Unknown before the first ANALYZE: -1, or up to version 13 zero with zero pages.
        case
            when pg_relation_size(c.oid) = 0 then 0
            when c.reltuples < 0 or c.relpages = 0 then null
            else c.reltuples::bigint
        end as estimated_rows
    from tree as t
    join pg_class as c on c.oid = t.oid
    where c.relkind in ('r', 'm')
),
index_facts as (
    select
        x.indrelid,
        json_agg(json_build_object(
            'name', i.relname,
            'columns', (
                select json_agg(a.attname order by k.at)
                from unnest(x.indkey::smallint[]) with ordinality as k (number, at)
                left join pg_attribute as a on a.attrelid = x.indrelid and a.attnum = k.number and k.number > 0
                where k.at <= x.indnkeyatts
            ),
            'is_unique', x.indisunique or x.indisexclusion,
            'is_valid', x.indisvalid and x.indisready and x.indislive,
            'predicate', pg_get_expr(x.indpred, x.indrelid),
            'method', m.amname
        ) order by i.relname) as indexes
    from pg_index as x
    join pg_class as i on i.oid = x.indexrelid
    join pg_am as m on m.oid = i.relam
    where
        x.indrelid = $1
        or x.indrelid in (select f.conrelid from pg_constraint as f join tree as t on t.oid = f.confrelid where f.contype = 'f')
    group by x.indrelid
)
select json_build_object(
    'oid', c.oid::bigint,
    'schema', n.nspname,
    'name', c.relname,
    'kind', c.relkind,
    'is_volatile', c.relpersistence <> 'p' or exists (
        select from tree as t join pg_class as p on p.oid = t.oid where p.relpersistence <> 'p'
    ),
    'columns', (
        select coalesce(json_agg(json_build_object(
            'name', a.attname,
            'type_name', format_type(a.atttypid, a.atttypmod),
            'base_type_name', format_type(base.oid, base.modifier),
            'catalog_name', coalesce(element.typname, t.typname),
            'is_array', element.oid is not null,
            'modifier', base.modifier,
            'is_constrained_domain', base.is_constrained,
            'nullable', not a.attnotnull,
            'has_default', (a.atthasdef and a.attgenerated = '') or t_declared.typdefault is not null,
            'generated', a.attgenerated,
            'identity', a.attidentity
        ) order by a.attnum), '[]')
        from pg_attribute as a
        join pg_type as t_declared on t_declared.oid = a.atttypid
        cross join lateral (
            with recursive bases (oid, modifier, is_constrained, level) as (
                select a.atttypid, a.atttypmod, false, 0
                union all
                select
                    d.typbasetype,
                    d.typtypmod,
                    b.is_constrained or d.typnotnull or exists (
                        select from pg_constraint as k where k.contypid = d.oid and k.contype = 'c'
                    ),
                    b.level + 1
                from bases as b
                join pg_type as d on d.oid = b.oid and d.typtype = 'd'
            )
            select oid, modifier, is_constrained from bases order by level desc limit 1
        ) as base
        join pg_type as t on t.oid = base.oid
        left join pg_type as element on element.oid = t.typelem and t.typcategory = 'A' and t.typlen = -1
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ),
    'primary_key', (
        select coalesce(json_agg(a.attname order by k.at), '[]')
        from pg_constraint as p
        cross join unnest(p.conkey) with ordinality as k (number, at)
        join pg_attribute as a on a.attrelid = p.conrelid and a.attnum = k.number
        where p.conrelid = c.oid and p.contype = 'p'
    ),
    'indexes', coalesce((select i.indexes from index_facts as i where i.indrelid = c.oid), '[]'),
    'pointed_at_by', (
        select coalesce(json_agg(json_build_object(
            'name', f.conname,
            'child_schema', child_schema.nspname,
            'child', child.relname,
            'child_columns', (
                select json_agg(a.attname order by k.at)
                from unnest(f.conkey) with ordinality as k (number, at)
                join pg_attribute as a on a.attrelid = f.conrelid and a.attnum = k.number
            ),
            'parent_columns', (
                select json_agg(a.attname order by k.at)
                from unnest(f.confkey) with ordinality as k (number, at)
                join pg_attribute as a on a.attrelid = f.confrelid and a.attnum = k.number
            ),
            'on_delete', f.confdeltype,
            'is_deferrable', f.condeferrable,
            'child_indexes', coalesce((select i.indexes from index_facts as i where i.indrelid = f.conrelid), '[]')
        ) order by child_schema.nspname, child.relname, f.conname), '[]')
        from tree as t
        join pg_constraint as f on f.confrelid = t.oid and f.contype = 'f' and f.conparentid = 0
        join pg_class as child on child.oid = f.conrelid
        join pg_namespace as child_schema on child_schema.oid = child.relnamespace
    ),
    'points_to', (
        select coalesce(json_agg(json_build_object(
            'name', f.conname,
            'columns', (
                select json_agg(a.attname order by k.at)
                from unnest(f.conkey) with ordinality as k (number, at)
                join pg_attribute as a on a.attrelid = f.conrelid and a.attnum = k.number
            ),
            'parent_schema', parent_schema.nspname,
            'parent', parent.relname,
            'parent_columns', (
                select json_agg(a.attname order by k.at)
                from unnest(f.confkey) with ordinality as k (number, at)
                join pg_attribute as a on a.attrelid = f.confrelid and a.attnum = k.number
            ),
            'is_validated', f.convalidated
        ) order by f.conname), '[]')
        from pg_constraint as f
        join pg_class as parent on parent.oid = f.confrelid
        join pg_namespace as parent_schema on parent_schema.oid = parent.relnamespace
        -- Of keys onto a partitioned table, those onto its partitions are copies, as are those of a partition.
        where f.conrelid = c.oid and f.contype = 'f' and f.conparentid = 0
    ),
    'checks', (
        select coalesce(json_agg(json_build_object(
            'name', k.conname,
            'text', 'check ' || pg_get_expr(k.conbin, k.conrelid),
            'is_validated', k.convalidated
        ) order by k.conname), '[]')
        from pg_constraint as k
        where k.conrelid = c.oid and k.contype = 'c'
    ),
    'triggers', (
        select coalesce(json_agg(json_build_object(
            'name', g.tgname,
            'function', format('%I.%I', function_schema.nspname, p.proname),
            'table_schema', part_schema.nspname,
            'table', part.relname,
            'bits', g.tgtype
        ) order by part_schema.nspname, part.relname, g.tgname), '[]')
        from tree as t
        join pg_trigger as g on g.tgrelid = t.oid
        join pg_proc as p on p.oid = g.tgfoid
        join pg_namespace as function_schema on function_schema.oid = p.pronamespace
        join pg_class as part on part.oid = t.oid
        join pg_namespace as part_schema on part_schema.oid = part.relnamespace
        where
            not g.tgisinternal
            -- A partition has a copy of each trigger for rows of its parent.
            and g.tgparentid = 0
            and g.tgenabled in ('O', 'A')
            and p.proname not like 'tierkeep\_note\_%'
    ),
    'rules', (
        select coalesce(json_agg(r.rulename order by r.rulename), '[]')
        from pg_rewrite as r
        where r.ev_class = c.oid and r.rulename <> '_RETURN' and r.ev_enabled in ('O', 'A')
    ),
    'row_security_applies', row_security_active(c.oid),
    'row_security', case when c.relforcerowsecurity then 'forced' when c.relrowsecurity then 'on' else 'off' end,
    'privileges', json_build_object(
        'role', current_user,
        'schema_usage', has_schema_privilege(n.oid, 'usage'),
        'select', has_table_privilege(c.oid, 'select'),
        'insert', has_table_privilege(c.oid, 'insert'),
        'update', has_table_privilege(c.oid, 'update'),
        'delete', has_table_privilege(c.oid, 'delete')
    ),
    'estimated_rows', (
        select case when bool_and(s.estimated_rows is not null) then sum(s.estimated_rows)::bigint end
        from sizes as s
    ),
    'total_bytes', (select sum(s.total_bytes)::bigint from sizes as s),
    'range_column', (
        select a.attname
        from pg_partitioned_table as p
        join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
        where p.partrelid = c.oid and p.partstrat = 'r' and p.partnatts = 1
    ),
    'range_type', range.type_name,
    'partitions', (
        select coalesce(json_agg(json_build_object(
            'schema', part_schema.nspname,
            'name', part.relname,
            'bounds', bounds.bounds,
            -- Printed and read in the same session, so whatever its zone and style of dates.
            'upper', case
                when bounds.upper in ('infinity', '-infinity') or bounds.upper = any('{MINVALUE,MAXVALUE}') then null
                when range.type_name = 'timestamptz'
                    then (extract(epoch from bounds.upper::timestamptz) * 1000000)::bigint
                when range.type_name = 'timestamp'
                    then (extract(epoch from bounds.upper::timestamp) * 1000000)::bigint
                when range.type_name = 'date' then bounds.upper::date - date '1970-01-01'
                when range.type_name in ('int2', 'int4', 'int8') then bounds.upper::bigint
            end,
            'is_default', bounds.bounds = 'DEFAULT',
            'is_plain',
            part.relkind = 'r'
            -- A column since version 14.
            and not coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false),
            'estimated_rows', (
                select case when bool_and(s.estimated_rows is not null) then sum(s.estimated_rows)::bigint end
                from sizes as s
                where s.oid = part.oid
            ),
            'bytes', coalesce((
                with recursive below (oid) as (
                    select part.oid
                    union
                    select j.inhrelid from below as b join pg_inherits as j on j.inhparent = b.oid
                )
                select sum(s.bytes)::bigint from sizes as s join below as b on b.oid = s.oid
            ), 0)
        ) order by part_schema.nspname, part.relname), '[]')
        from pg_inherits as i
        join pg_class as part on part.oid = i.inhrelid and part.relispartition
        join pg_namespace as part_schema on part_schema.oid = part.relnamespace
        cross join lateral (
            select
                pg_get_expr(part.relpartbound, part.oid) as bounds,
                substring(pg_get_expr(part.relpartbound, part.oid) from ' TO \(''?([^'']*)''?\)$') as upper
        ) as bounds
        where i.inhparent = c.oid
    ),
    'heirs', (
        select coalesce(json_agg(format('%I.%I', heir_schema.nspname, heir.relname) order by heir.relname), '[]')
        from pg_inherits as i
        join pg_class as heir on heir.oid = i.inhrelid and not heir.relispartition
        join pg_namespace as heir_schema on heir_schema.oid = heir.relnamespace
        where
            i.inhparent = c.oid
            -- not those that a run put there
            and not coalesce(starts_with(obj_description(heir.oid, 'pg_class'), 'tierkeep: archived partition '), false)
    )
)::text as facts
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
left join lateral (
    select t.typname as type_name
    from pg_partitioned_table as p
    join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    join pg_type as t on t.oid = a.atttypid
    where p.partrelid = c.oid and p.partstrat = 'r' and p.partnatts = 1
) as range on true
where c.oid = $1
