select
    coalesce(
        (
            select n.nspname
            from pg_class as c
            join pg_namespace as n on n.oid = c.relnamespace
            where c.oid = to_regclass('pg_stat_statements')
        ),
        (
            select n.nspname
            from pg_extension as e
            join pg_namespace as n on n.oid = e.extnamespace
            where e.extname = 'pg_stat_statements'
        )
    ) as schema,
    -- Whether what is found first is the extension's own.
    coalesce(
        (
            select d.deptype = 'e'
            from pg_depend as d
            where
                d.classid = 'pg_class'::regclass
                and d.objid = to_regclass('pg_stat_statements')
                and d.refclassid = 'pg_extension'::regclass
                and d.deptype = 'e'
            limit 1
        ),
        to_regclass('pg_stat_statements') is null
    ) as is_extension,
    exists (select from pg_available_extensions where name = 'pg_stat_statements') as is_available,
    -- Not shown to everybody; null then.
    (
        select 'pg_stat_statements' = any (array(
            select trim(both ' "' from part) from regexp_split_to_table(setting, ',') as part
        ))
        from pg_settings
        where name = 'shared_preload_libraries'
    ) as is_preloaded,
    quote_ident(current_user) as role,
    cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) as taken_us
