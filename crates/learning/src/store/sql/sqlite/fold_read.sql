-- As fold_lock, for a reader that saves nothing. ?1 learner.
select l.epoch = s.epoch, l.zones, l.active_days, l.sessions
from tierkeep_learner l
cross join tierkeep_state s
where l.user_id = ?1
