select
    c.oid,
    n.nspname as schema,
    c.relname as name,
    cast(c.relkind as text) as kind,
    c.relpersistence = 't' as is_temporary,
    c.relrowsecurity as has_row_security,
    n.nspname in ('pg_catalog', 'information_schema', 'pg_toast') as is_system,
    -- Statements on any part of a partitioned table are noted for the whole.
    coalesce(cast(pg_partition_root(c.oid) as oid), c.oid) as whole,
    exists (
        select
        from pg_inherits as h
        join pg_class as child on child.oid = h.inhrelid
        where (h.inhparent = c.oid or h.inhrelid = c.oid) and not child.relispartition
    ) as is_inherited,
    case when c.relkind = 'v' then pg_get_viewdef(c.oid) end as definition
from unnest($1) as given (name)
join pg_class as c on c.oid = to_regclass(given.name)
join pg_namespace as n on n.oid = c.relnamespace
