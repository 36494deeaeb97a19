-- All facts of one table as one text. Tables of other schemas cannot point here.
with index_facts as (
    select
        t.name as table_name,
        json_group_array(json_object(
            'name', i.name,
            'columns', json((
                select json_group_array(c.name order by c.seqno)
                from pragma_index_xinfo(i.name, ?1) as c
                where c.key = 1
            )),
            'is_unique', json(iif(i."unique", 'true', 'false')),
            'is_valid', json('true'),
            'is_partial', json(iif(i.partial, 'true', 'false')),
            'sql', (select s.sql from {schema}.sqlite_schema as s where s.type = 'index' and s.name = i.name),
            'method', 'btree'
        ) order by i.name) as indexes
    from pragma_table_list as t
    join pragma_index_list(t.name, ?1) as i
    where t.schema = ?1 and t.type = 'table'
    group by t.name
),
foreign_keys as (
    select
        t.name as child,
        f.id,
        f."table" as parent,
        json_group_array(f."from" order by f.seq) as child_columns,
        json_group_array(f."to" order by f.seq) filter (where f."to" is not null) as parent_columns,
        f.on_delete
    from pragma_table_list as t
    join pragma_foreign_key_list(t.name, ?1) as f
    where t.schema = ?1 and t.type = 'table'
    group by t.name, f.id
)
select json_object(
    'schema', t.schema,
    'name', t.name,
    'kind', iif(t.type = 'table' and t.strict, 'strict', t.type),
    'is_volatile', json(iif(t.schema = 'temp', 'true', 'false')),
    'has_row_numbers', json(iif(t.type = 'table' and not t.wr, 'true', 'false')),
    'sql', (
        select s.sql
        from {schema}.sqlite_schema as s
        where s.type = 'table' and s.name = t.name
    ),
    'columns', json((
        select json_group_array(json_object(
            'name', c.name,
            'type_name', c.type,
            'nullable', json(iif(
                c."notnull" = 0
                -- The key that is the row number is never null, though nothing says so.
                and not (
                    c.pk = 1
                    and c.type = 'INTEGER' collate nocase
                    and not exists (select 1 from pragma_table_xinfo(?2, ?1) as k where k.pk > 1)
                ), 'true', 'false'
            )),
            'has_default', json(iif(c.dflt_value is not null, 'true', 'false')),
            'generated', case c.hidden when 2 then 'v' when 3 then 's' else '' end
        ) order by c.cid)
        from pragma_table_xinfo(?2, ?1) as c
        where c.hidden <> 1
    )),
    'primary_key', json((
        select json_group_array(c.name order by c.pk) from pragma_table_xinfo(?2, ?1) as c where c.pk > 0
    )),
    'indexes', json(coalesce((select i.indexes from index_facts as i where i.table_name = t.name), '[]')),
    'pointed_at_by', json((
        select json_group_array(json_object(
            'name', null,
            'child_schema', t.schema,
            'child', f.child,
            'child_columns', json(f.child_columns),
            'parent_columns', json(f.parent_columns),
            'on_delete', f.on_delete,
            -- Whether it is deferred is written in the statement only.
            'is_deferrable', json('true'),
            'child_indexes', json(coalesce((select i.indexes from index_facts as i where i.table_name = f.child), '[]')),
            'child_row_number', (
                select k.name
                from pragma_table_xinfo(f.child, ?1) as k
                where
                    k.pk = 1
                    and k.type = 'INTEGER' collate nocase
                    and not exists (select 1 from pragma_table_xinfo(f.child, ?1) as o where o.pk > 1)
            )
        ) order by f.child, f.id)
        from foreign_keys as f
        where f.parent = t.name collate nocase
    )),
    'points_to', json((
        select json_group_array(json_object(
            'name', null,
            'columns', json(f.child_columns),
            'parent_schema', t.schema,
            'parent', f.parent,
            'parent_columns', json(f.parent_columns),
            'is_validated', json('true')
        ) order by f.id)
        from foreign_keys as f
        where f.child = t.name
    )),
    'triggers', json((
        select json_group_array(json_object('name', s.name, 'sql', s.sql) order by s.name)
        from {schema}.sqlite_schema as s
        where s.type = 'trigger' and s.tbl_name = t.name collate nocase and s.name not like 'tierkeep\_%' escape '\'
    ))
) as facts
from pragma_table_list as t
where t.schema = ?1 and t.name = ?2
