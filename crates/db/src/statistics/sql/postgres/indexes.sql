select
    xn.nspname as index_schema,
    x.relname as index_name,
    tn.nspname as table_schema,
    t.relname as table_name,
    m.amname as method,
    pg_get_indexdef(i.indexrelid) as definition,
    array(
        select coalesce(cast(a.attname as text), pg_get_indexdef(i.indexrelid, n, true))
        from generate_series(1, i.indnkeyatts) as n
        left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[n - 1] and a.attnum <> 0
        order by n
    ) as keys,
    array(select i.indkey[n - 1] <> 0 from generate_series(1, i.indnkeyatts) as n order by n) as are_columns,
    array(
        select concat_ws(' ', i.indclass[n - 1], i.indcollation[n - 1], i.indoption[n - 1])
        from generate_series(1, i.indnkeyatts) as n
        order by n
    ) as rules,
    array(
        select cast(a.attname as text)
        from generate_series(i.indnkeyatts + 1, i.indnatts) as n
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[n - 1]
        order by n
    ) as included,
    pg_get_expr(i.indpred, i.indrelid) as predicate,
    i.indisprimary as is_primary,
    i.indisunique as is_unique,
    i.indisexclusion as is_exclusion,
    i.indisreplident as is_replica_identity,
    i.indisclustered as is_clustered,
    i.indisvalid and i.indisready and i.indislive as is_valid,
    exists (select from pg_inherits as h where h.inhrelid = i.indexrelid) as is_partition,
    exists (select from pg_stat_progress_create_index as p where p.index_relid = i.indexrelid) as is_in_progress,
    s.idx_scan as scans,
    cast(extract(epoch from now() - s.last_idx_scan) * 1000000 as bigint) as last_scan_us,
    -- Nothing of an index that was dropped meanwhile.
    coalesce(pg_relation_size(i.indexrelid), 0) as bytes,
    cast(t.reltuples as float8) as rows,
    -- Null unless the width of each of its columns is known.
    (
        select case when count(*) = i.indnatts then cast(sum((1 - w.null_frac) * w.avg_width) as float8) end
        from generate_series(1, i.indnatts) as n
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[n - 1]
        join pg_stats as w
            on w.schemaname = tn.nspname and w.tablename = t.relname and w.attname = a.attname and not w.inherited
    ) as key_width
from pg_index as i
join pg_class as x on x.oid = i.indexrelid
join pg_namespace as xn on xn.oid = x.relnamespace
join pg_class as t on t.oid = i.indrelid
join pg_namespace as tn on tn.oid = t.relnamespace
join pg_am as m on m.oid = x.relam
left join counted as s on cast(s.indexrelid as oid) = i.indexrelid
where
    x.relkind = 'i'
    and tn.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and tn.nspname not like 'pg\_temp\_%'
    and tn.nspname not like 'pg\_toast\_temp\_%'
order by tn.nspname, t.relname, x.relname
