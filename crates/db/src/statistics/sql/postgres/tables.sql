select
    t.schemaname,
    t.relname,
    coalesce(t.n_live_tup, 0) as live,
    coalesce(t.n_dead_tup, 0) as dead,
    coalesce(t.n_mod_since_analyze, 0) as changed,
    coalesce(t.seq_scan, 0) as full_scans,
    coalesce(t.idx_scan, 0) as index_scans,
    cast(extract(epoch from now() - greatest(t.last_vacuum, t.last_autovacuum)) * 1000000 as bigint) as vacuumed_us,
    cast(extract(epoch from now() - greatest(t.last_analyze, t.last_autoanalyze)) * 1000000 as bigint) as analysed_us,
    cast(t.total_vacuum_time + t.total_autovacuum_time as float8) as vacuum_ms,
    -- Nothing of a table that was dropped meanwhile.
    coalesce(pg_relation_size(c.oid), 0) as table_bytes,
    coalesce(pg_indexes_size(c.oid), 0) as index_bytes,
    coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) as toast_bytes,
    cast(c.reltuples as float8) as rows,
    cast(current_setting('block_size') as bigint) as block_bytes,
    coalesce(
        (select cast(option_value as bigint) from pg_options_to_table(c.reloptions) where option_name = 'fillfactor'),
        100
    ) as fill_percent,
    -- A role that lacks the right on a column does not see its statistics.
    has_table_privilege(c.oid, 'select') as may_read,
    (
        select count(*) from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) as columns,
    coalesce(w.analysed_columns, 0) as analysed_columns,
    coalesce(w.row_width, 0) as row_width,
    quote_ident(current_user) as role
from counted as t
join pg_class as c on c.oid = cast(t.relid as oid)
left join lateral (
    select
        count(*) as analysed_columns,
        cast(sum((1 - s.null_frac) * s.avg_width) as float8) as row_width
    from pg_stats as s
    where s.schemaname = t.schemaname and s.tablename = t.relname and not s.inherited
) as w on true
order by pg_total_relation_size(c.oid) desc nulls last, t.schemaname, t.relname
