select
    n.nspname::text as schema,
    c.relname::text as name,
    -- Only the owner of what a view reads may need to see it; the text of the view is for everybody.
    case when c.relkind = 'v' then pg_get_viewdef(c.oid) end as view,
    array(
        select a.attname::text
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    ) as columns
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname not like 'pg\_toast%'
    and (n.nspname not like 'pg\_temp%' or n.oid = pg_my_temp_schema())
order by n.nspname, c.relname
