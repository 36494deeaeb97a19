select
    n.nspname::text as schema,
    c.relname::text as "table",
    -- A partitioned table that was never analysed as a whole says -1, as does any that was never looked at; up to version 13
    -- these say zero rows on zero pages.
    case
        when c.reltuples = 0 and c.relpages = 0 and pg_relation_size(c.oid) > 0 then -1
        else c.reltuples
    end::float8 as row_count,
    c.relpages::float8 as pages,
    s.seq_scan + coalesce(s.idx_scan, 0) as scans,
    c.relkind = 'p' as is_partitioned,
    has_table_privilege(c.oid, 'select') as is_readable
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_stat_all_tables as s on s.relid = c.oid
where c.oid = any(select to_regclass(name) from unnest($1) as name) and c.relkind in ('r', 'p', 'm')
