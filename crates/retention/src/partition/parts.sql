-- The parts of archive $1 that a run put there.
select format('%I.%I', n.nspname, c.relname)
from pg_inherits as i
join pg_class as c on c.oid = i.inhrelid and c.relkind = 'r' and not c.relispartition
join pg_namespace as n on n.oid = c.relnamespace
where
    i.inhparent = to_regclass($1) and pg_has_role(c.relowner, 'usage')
    and starts_with(obj_description(c.oid, 'pg_class'), 'tierkeep: archived partition ')
order by 1
