-- Learners who have been gone for a grace, the longest first. ?1 the present, null = the database's clock, ?2 the grace in
-- microseconds, ?3 how many.
select d.user_id
from tierkeep_departed d
where d.since <= coalesce(?1, cast(unixepoch('subsec') * 1000 as integer) * 1000) - ?2
  and not exists (select 1 from users u where u.id = d.user_id)
order by d.since, d.user_id
limit ?3
