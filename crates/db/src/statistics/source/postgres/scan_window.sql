select
    cast(
        extract(
            epoch from now() - (select stats_reset from pg_stat_database where datname = current_database())
        ) * 1000000 as bigint
    ) as since_reset_us,
    pg_is_in_recovery() as is_replica,
    (select count(*) from pg_stat_replication) as replicas
