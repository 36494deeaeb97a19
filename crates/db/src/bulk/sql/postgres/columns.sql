select
    a.attname as name,
    -- without a limit of length, which an explicit cast would cut to
    format_type(a.atttypid, -1) as type_name,
    a.attidentity = 'a' or a.attgenerated <> '' as is_generated,
    a.atttypid in ('json'::regtype, 'xml'::regtype) as has_no_equality,
    -- COPY goes past rules, and is refused under row security
    c.relkind in ('r', 'p') and not c.relhasrules and not row_security_active(c.oid) as can_copy,
    -- a new row cannot be told from an updated one where it is passed on to a partition or through a view
    c.relkind = 'r' as has_versions
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = to_regclass($1)
order by a.attnum
