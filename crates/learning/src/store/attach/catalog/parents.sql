-- What rows of the table $1 refer to: for each foreign key the other table, and the columns that must agree.
select
    k.confrelid::regclass::text as parent,
    array(
        select a.attname::text
        from unnest(k.conkey) with ordinality as c (attnum, nth)
        join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = c.attnum
        order by c.nth
    ) as children,
    array(
        select a.attname::text
        from unnest(k.confkey) with ordinality as c (attnum, nth)
        join pg_attribute as a on a.attrelid = k.confrelid and a.attnum = c.attnum
        order by c.nth
    ) as parents
from pg_constraint as k
where k.conrelid = to_regclass($1) and k.contype = 'f'
order by k.oid
