-- What the statistics say of the rows of these tables; a table that was never looked at says -1, up to version 13 zero rows
-- on zero pages.
select
    n.nspname || '.' || c.relname as name,
    c.reltuples::float8 as row_count
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname || '.' || c.relname = any($1)
    and c.reltuples >= 0
    and not (c.reltuples = 0 and c.relpages = 0 and pg_relation_size(c.oid) > 0)
