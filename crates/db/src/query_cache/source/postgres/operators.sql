select
    exists (
        select from pg_operator as o join pg_proc as p on p.oid = o.oprcode
        where o.oid >= 16384 and p.provolatile <> 'i'
    )
    or exists (
        select from pg_cast as c join pg_proc as p on p.oid = c.castfunc
        where c.oid >= 16384 and p.provolatile <> 'i'
    ) as has_own_operators,
    -- `row.name` calls a function of a row if there is no such column.
    (
        select min(cast(p.proname as text))
        from pg_proc as p
        join pg_type as t on t.oid = p.proargtypes[0]
        where p.oid >= 16384 and p.pronargs = 1 and p.provolatile <> 'i' and t.typtype = 'c' and p.proname = any ($1)
    ) as called_by_name
