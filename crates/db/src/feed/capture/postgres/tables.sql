-- What installing needs to know of a table: $1 its name, $2 its columns.
select
    current_setting('transaction_read_only') = 'on' as is_read_only,
    current_schema()::text as schema,
    coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
    c.relkind::text as kind,
    coalesce(pg_has_role(c.relowner, 'usage'), false) as is_owner,
    pg_get_userbyid(c.relowner)::text as owner,
    (select pg_get_userbyid(n.nspowner)::text from pg_namespace as n where n.nspname = current_schema()) as schema_owner,
    w.name as column,
    a.attname is not null as is_present,
    format_type(coalesce(nullif(y.typbasetype, 0), y.oid), -1) as type_name
from unnest($2::text[]) as w (name)
left join pg_class as c on c.oid = to_regclass($1)
left join pg_attribute as a on a.attrelid = c.oid and a.attname = w.name and a.attnum > 0 and not a.attisdropped
left join pg_type as y on y.oid = a.atttypid
