-- What is stored of a learner and what decides whether it is current; the transaction holds the write lock. ?1 learner.
select l.epoch = s.epoch, l.zones, l.active_days, l.sessions
from tierkeep_learner l
cross join tierkeep_state s
where l.user_id = ?1
