select
    c.conname as name,
    tn.nspname as table_schema,
    t.relname as table_name,
    array(
        select cast(a.attname as text)
        from unnest(c.conkey) with ordinality as k (attnum, n)
        join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
        order by k.n
    ) as columns,
    rn.nspname as other_schema,
    r.relname as other_name,
    cast(t.reltuples as float8) as rows
from pg_constraint as c
join pg_class as t on t.oid = c.conrelid
join pg_namespace as tn on tn.oid = t.relnamespace
join pg_class as r on r.oid = c.confrelid
join pg_namespace as rn on rn.oid = r.relnamespace
where
    c.contype = 'f'
    -- Partitions of a table that is referred to have entries of their own for the same key.
    and not exists (
        select from pg_constraint as whole where whole.oid = c.conparentid and whole.conrelid = c.conrelid
    )
    -- A partitioned table has no rows; its partitions have a key each.
    and t.relkind = 'r'
order by tn.nspname, t.relname, c.conname
