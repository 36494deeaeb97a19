-- Stored active days of some learners, with what decides whether they are current. $1 learners (one, or an array).
select a.ord, u.id is not null, l.epoch = s.epoch, l.zones,
       exists (select from tierkeep_outbox o where o.key = a.id and not o.settled),
       exists (select from tierkeep_outbox o where o.key is null and not o.settled),
       now(), l.active_days, s.time_zone, s.day_start
from {learners}
cross join tierkeep_state s
left join users u on u.id = a.id
left join tierkeep_learner l on l.user_id = a.id
order by a.ord
