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
    -- Of a table that was never looked at -1: up to version 13 it says zero rows on zero pages.
    cast(
        case when t.reltuples = 0 and t.relpages = 0 and pg_relation_size(t.oid) > 0 then -1 else t.reltuples end as float8
    ) as rows
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
