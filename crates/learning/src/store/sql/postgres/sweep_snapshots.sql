-- Removes what nodes kept and did not renew for 90 days. $1 how many.
delete from tierkeep_snapshot
where name in (
    select name from tierkeep_snapshot where saved_at < clock_timestamp() - interval '90 days' order by name limit $1
)
