-- What is stored of a learner; the transaction holds the write lock. ?1 learner.
select l.epoch = s.epoch, l.zones, l.active_days, s.time_zone, s.day_start
from tierkeep_learner l
cross join tierkeep_state s
where l.user_id = ?1
