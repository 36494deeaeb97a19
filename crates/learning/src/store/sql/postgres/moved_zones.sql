-- Zones that learners came with or moved to and that are not folded yet, oldest first. Left out are learners whose own row
-- tells as much: nothing stored and a single change.
select o.id, o.user_id, o.at, o.first_start, o.last_start, o.zone, u.time_zone, l.zones
from tierkeep_outbox o
join users u on u.id = o.user_id
left join tierkeep_learner l on l.user_id = o.user_id
where o.first_start is null
  and (
      l.zones is not null
      or exists (
          select from tierkeep_outbox other
          where other.user_id = o.user_id and other.first_start is null and other.id <> o.id
      )
  )
order by o.id
