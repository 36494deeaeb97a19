select
    a.attname as name,
    format_type(a.atttypid, a.atttypmod) as type_name,
    not a.attnotnull as nullable
from pg_class as c
left join pg_attribute as a
    on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where
    c.oid = to_regclass($1)
    and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by a.attnum
