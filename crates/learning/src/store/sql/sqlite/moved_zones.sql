-- Zones that learners came with or moved to and that are not folded yet, oldest first. Left out are learners whose own row
-- tells as much: nothing stored and a single change.
-- A text that is no UUID in lower case is the key of nobody.
select o.at, o.first, o.last, o.note, 1, o.key, u.time_zone, l.zones
from tierkeep_outbox o
join users u on u.id = o.key and ('{key}' = 'integer' or (length(u.id) = 36 and u.id not glob '*[^0-9a-f-]*'))
left join tierkeep_learner l on l.user_id = o.key
where o.source = 'users'
  and o.settled = 0
  and (
      l.zones is not null
      or exists (
          select 1 from tierkeep_outbox other
          where other.key = o.key and other.source = 'users'
            and other.settled = 0 and other.id <> o.id
      )
  )
order by o.id
