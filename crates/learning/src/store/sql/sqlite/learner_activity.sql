-- Stored active days of a learner, with what decides whether they are current. ?1 learner.
select u.id is not null, l.epoch = s.epoch, l.zones,
       exists (select 1 from tierkeep_outbox o where o.key = ?1 and o.settled = 0),
       exists (select 1 from tierkeep_outbox o where o.key is null and o.settled = 0),
       l.active_days, s.time_zone, s.day_start
from tierkeep_state s
left join users u on u.id = ?1
left join tierkeep_learner l on l.user_id = ?1
