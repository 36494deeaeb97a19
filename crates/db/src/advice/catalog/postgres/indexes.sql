select
    n.nspname::text as schema,
    t.relname::text as "table",
    c.relname::text as "index",
    array(
        select a.attname::text
        from generate_series(0, i.indnatts - 1) as k
        left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[k] and i.indkey[k] <> 0
        order by k
    ) as columns,
    array(select pg_get_indexdef(i.indexrelid, k, true) from generate_series(1, i.indnatts) as k order by k) as texts,
    array(select i.indoption[k]::int4 from generate_series(0, i.indnkeyatts - 1) as k order by k) as options,
    array(
        select o.opcdefault
            and (i.indcollation[k] = 0 or i.indkey[k] = 0 or i.indcollation[k] = (
                select a.attcollation from pg_attribute as a where a.attrelid = i.indrelid and a.attnum = i.indkey[k]
            ))
        from generate_series(0, i.indnkeyatts - 1) as k
        inner join pg_opclass as o on o.oid = i.indclass[k]
        order by k
    ) as defaults,
    pg_get_expr(i.indpred, i.indrelid) as predicate,
    i.indisunique as is_unique,
    i.indisprimary or i.indisexclusion or i.indisreplident or i.indisclustered
    or exists (select 1 from pg_constraint as k where k.conindid = i.indexrelid)
    or exists (select 1 from pg_inherits as h where h.inhrelid = i.indexrelid) as is_constraint,
    i.indisvalid as is_valid,
    m.amname::text as method,
    (select o.opcname::text from pg_opclass as o where o.oid = i.indclass[0]) as operators,
    pg_relation_size(c.oid) as bytes,
    s.idx_scan as scans
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_class as t on t.oid = i.indrelid
inner join pg_namespace as n on n.oid = t.relnamespace
inner join pg_am as m on m.oid = c.relam
left join pg_stat_all_indexes as s on s.indexrelid = i.indexrelid
where i.indrelid = any(select to_regclass(name) from unnest($1) as name)
order by c.relname
