-- What there is to know of partition $1 of table $2 before it leaves: its bounds, its foreign keys, what is written about it,
-- the publications that send it, and whether this role may.
select
    pg_get_expr(c.relpartbound, c.oid),
    array(select k.conname::text from pg_constraint as k where k.conrelid = c.oid and k.contype = 'f' order by 1),
    obj_description(c.oid, 'pg_class'),
    array(
        select p.pubname::text
        from pg_publication_rel as r
        join pg_publication as p on p.oid = r.prpubid
        where r.prrelid in (c.oid, i.inhparent)
        union
        select pubname::text from pg_publication where puballtables
    ),
    pg_has_role(c.relowner, 'usage') and pg_has_role(parent.relowner, 'usage')
from pg_class as c
join pg_inherits as i on i.inhrelid = c.oid
join pg_class as parent on parent.oid = i.inhparent
where c.oid = to_regclass($1) and i.inhparent = to_regclass($2) and c.relispartition
