-- How large tables are on disk, with their indexes and partitions, and how many rows the planner takes them to have.
-- $1 names, quoted where need be. Those that do not exist are left out.
select t.name,
       coalesce(
           (select sum(pg_total_relation_size(p.relid)) from pg_partition_tree(c.oid) p),
           pg_total_relation_size(c.oid)
       )::bigint,
       coalesce(
           (
               select sum(greatest(leaf.reltuples, 0))
               from pg_partition_tree(c.oid) p
               join pg_class leaf on leaf.oid = p.relid
               where p.isleaf
           ),
           c.reltuples
       )::bigint
from unnest($1::text[]) as t (name)
join pg_class c on c.oid = to_regclass(t.name)
order by t.name
