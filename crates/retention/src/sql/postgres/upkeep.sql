-- How table $1 fares, with everything that inherits from it: its size, the rows that changed since it was last measured for
-- the planner, rows alive and dead as the statistics have them, whether this role may measure it, and how it is vacuumed.
with recursive tree (oid) as (
    select to_regclass($1)::oid
    union
    select i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.oid
)
select
    coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint as bytes,
    coalesce(sum(s.n_mod_since_analyze), 0)::bigint as modified,
    coalesce(sum(s.n_live_tup), 0)::bigint as alive,
    coalesce(sum(s.n_dead_tup), 0)::bigint as dead,
    coalesce(
        bool_and(
            pg_has_role(c.relowner, 'usage')
            or exists (
                select from pg_database as d where d.datname = current_database() and pg_has_role(d.datdba, 'usage')
            )
            -- a privilege of version 17
            or case
                when current_setting('server_version_num')::int >= 170000 then has_table_privilege(c.oid, 'maintain')
                else false
            end
        ), false
    ) as may_analyze,
    coalesce(
        not current_setting('autovacuum')::boolean or bool_or(coalesce(options.enabled, 'true')::boolean is false), false
    ) as is_autovacuum_off,
    -- dead rows from which on it is vacuumed by itself
    coalesce(
        sum(
            coalesce(options.threshold, current_setting('autovacuum_vacuum_threshold'))::float8
            + coalesce(options.scale, current_setting('autovacuum_vacuum_scale_factor'))::float8 * greatest(c.reltuples, 0)
        ), 0
    )::bigint as vacuumed_from
from tree as t
join pg_class as c on c.oid = t.oid and c.relkind = 'r'
left join pg_stat_all_tables as s on s.relid = c.oid
cross join lateral (
    select
        max(o.option_value) filter (where o.option_name = 'autovacuum_enabled') as enabled,
        max(o.option_value) filter (where o.option_name = 'autovacuum_vacuum_threshold') as threshold,
        max(o.option_value) filter (where o.option_name = 'autovacuum_vacuum_scale_factor') as scale
    from pg_options_to_table(c.reloptions) as o
) as options
