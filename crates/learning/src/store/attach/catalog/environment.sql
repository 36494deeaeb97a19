-- Where and as whom something is attached. $1 the archive, $2 its schema if one is named.
select
    pg_is_in_recovery() as is_replica,
    current_setting('transaction_read_only') = 'on' as is_read_only,
    current_user::text as role,
    current_schema()::text as schema,
    coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
    coalesce($2, current_schema()::text) as archive_schema,
    coalesce(
        (select has_schema_privilege(n.oid, 'create') from pg_namespace as n where n.nspname = coalesce($2, current_schema()::text)),
        false
    ) as may_create_archive,
    c.oid is not null as has_archive,
    c.relkind = 'r' and pg_has_role(c.relowner, 'usage') as is_archive_usable,
    obj_description(c.oid, 'pg_class') as archive_comment,
    -- whether migrations of ours were applied here
    (
        select count(*) = 4 from pg_attribute as a
        where
            a.attrelid = to_regclass('tierkeep_migrations') and a.attnum > 0 and not a.attisdropped
            and a.attname in ('version', 'name', 'checksum', 'applied_at')
    ) and to_regclass('tierkeep_state') is not null as is_migrated,
    -- whatever has a name of ours
    coalesce(
        (
            select array_agg(named.name order by named.name)
            from (
                select r.relname::text as name from pg_class as r
                where
                    r.relnamespace = (select n.oid from pg_namespace as n where n.nspname = current_schema())
                    and r.relname like 'tierkeep\_%' and r.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                    and r.oid is distinct from c.oid
                union all
                select p.proname::text || '()' from pg_proc as p
                where
                    p.pronamespace = (select n.oid from pg_namespace as n where n.nspname = current_schema())
                    and p.proname like 'tierkeep\_note\_%'
            ) as named
        ),
        '{}'
    ) as ours
from (select to_regclass($1)::oid as oid) as archive
left join pg_class as c on c.oid = archive.oid
