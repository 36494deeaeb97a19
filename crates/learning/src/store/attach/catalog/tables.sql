-- What the tables are that should be watched, and what may be done with them. $1 their names.
select
    w.name,
    c.relkind::text as kind,
    c.relpersistence = 't' as is_temporary,
    coalesce(pg_has_role(c.relowner, 'usage'), false) as is_owner,
    pg_get_userbyid(c.relowner)::text as owner,
    coalesce(has_table_privilege(c.oid, 'select'), false) as may_read,
    -- another installation, in another schema, whose triggers would be replaced
    (
        select min(n.nspname::text)
        from pg_trigger as t
        join pg_proc as p on p.oid = t.tgfoid
        join pg_namespace as n on n.oid = p.pronamespace
        where t.tgrelid = c.oid and not t.tgisinternal and t.tgname like 'tierkeep\_%' and n.nspname <> current_schema()
    ) as other_schema
from unnest($1::text[]) with ordinality as w (name, nth)
left join pg_class as c on c.oid = to_regclass(w.name)
order by w.nth
