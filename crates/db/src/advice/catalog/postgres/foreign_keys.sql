select
    n.nspname::text as schema,
    t.relname::text as "table",
    array(
        select a.attname::text
        from unnest(k.conkey) with ordinality as key (number, place)
        inner join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = key.number
        order by key.place
    ) as columns
from pg_constraint as k
inner join pg_class as t on t.oid = k.conrelid
inner join pg_namespace as n on n.oid = t.relnamespace
where k.contype = 'f' and t.oid = any(select to_regclass(name) from unnest($1) as name)
