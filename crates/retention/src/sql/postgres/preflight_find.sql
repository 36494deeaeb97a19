-- Compared by name where the schema is given: to_regclass would fail in a schema that the role may not use.
select c.oid
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where
    c.relkind in ('r', 'p', 'v', 'm', 'f')
    and case when $1::text is null then c.oid = to_regclass($3) else n.nspname = $1 and c.relname = $2 end
