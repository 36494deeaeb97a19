select
    s.schemaname::text as schema,
    s.tablename::text as "table",
    s.attname::text as "column",
    s.n_distinct::float8 as n_distinct,
    s.null_frac::float8 as null_fraction,
    s.avg_width::float8 as width,
    s.correlation::float8 as correlation,
    s.most_common_vals::text::text[] as common_values,
    s.most_common_freqs::float8[] as common_shares,
    s.histogram_bounds::text::text[] as bounds,
    -- Text that is not compared by its bytes.
    a.atttypid in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
    and coalesce(co.collname not in ('C', 'POSIX', 'ucs_basic'), false)
    and not (co.collname = 'default' and d.datcollate in ('C', 'POSIX')) as needs_pattern
from pg_stats as s
inner join pg_namespace as n on n.nspname = s.schemaname
inner join pg_class as c on c.relnamespace = n.oid and c.relname = s.tablename
inner join pg_attribute as a on a.attrelid = c.oid and a.attname = s.attname
inner join pg_database as d on d.datname = current_database()
left join pg_collation as co on co.oid = a.attcollation
where
    c.oid = any(select to_regclass(name) from unnest($1) as name)
    -- Of a partitioned table both kinds are there.
    and s.inherited = (c.relkind = 'p')
