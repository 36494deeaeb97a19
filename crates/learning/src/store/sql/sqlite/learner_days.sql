-- Stored months of a learner, with what decides whether they are current. One row a month; a learner without any has
-- one row. ?1 learner, ?2 and ?3 first and last month.
select u.id is not null, l.epoch = s.epoch, l.zones,
       exists (select 1 from tierkeep_outbox o where o.key = ?1 and o.settled = 0),
       exists (select 1 from tierkeep_outbox o where o.key is null and o.settled = 0),
       m.month, m.days, s.time_zone, s.day_start
from tierkeep_state s
left join users u on u.id = ?1
left join tierkeep_learner l on l.user_id = ?1
left join tierkeep_month m on m.user_id = ?1 and m.month between ?2 and ?3
