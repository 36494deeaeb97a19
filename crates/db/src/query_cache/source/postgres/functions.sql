select
    given.name,
    count(p.oid) as overloads,
    coalesce(bool_or(p.provolatile <> 'i' and p.oid < 16384), false) as is_changeable,
    coalesce(bool_or(p.provolatile = 'v'), false) as is_volatile,
    -- What was made here, or by an extension.
    coalesce(bool_or(p.provolatile <> 'i' and p.oid >= 16384), false) as is_own_changeable
from unnest($1) as given (name)
left join pg_proc as p on p.proname = given.name
group by given.name
order by given.name
