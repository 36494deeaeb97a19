-- Stored months of some learners, with what decides whether they are current. One row a month; a learner without any
-- has one row. $1 learners (one, or an array), $2 and $3 first and last month.
select a.ord, u.id is not null, l.epoch = s.epoch, l.zones,
       exists (select from tierkeep_outbox o where o.key = a.id and not o.settled),
       exists (select from tierkeep_outbox o where o.key is null and not o.settled),
       now(), m.month, m.days, s.time_zone, s.day_start
from {learners}
cross join tierkeep_state s
left join users u on u.id = a.id
left join tierkeep_learner l on l.user_id = a.id
left join tierkeep_month m on m.user_id = a.id and m.month between $2 and $3
order by a.ord
