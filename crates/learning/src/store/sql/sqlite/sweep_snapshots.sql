-- Removes what nodes kept and did not renew for 90 days. ?1 how many.
delete from tierkeep_snapshot
where name in (
    select name from tierkeep_snapshot
    where saved_at < cast(unixepoch('subsec') * 1000000 as integer) - 7776000000000
    order by name
    limit ?1
)
