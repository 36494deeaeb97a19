-- Zones that learners came with or moved to and that are not folded yet, oldest first. Left out are learners whose own row
-- tells as much: nothing stored and a single change.
select o.id, o.key, o.at, o.first, o.last, o.note, true, u.time_zone, l.zones
from tierkeep_outbox o
join users u on u.id = o.key
left join tierkeep_learner l on l.user_id = o.key
where o.source = 'users'
  and not o.settled
  and (
      l.zones is not null
      or exists (
          select from tierkeep_outbox other
          where other.key = o.key and other.source = 'users'
            and not other.settled and other.id <> o.id
      )
  )
order by o.id
