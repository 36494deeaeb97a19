-- ?1 learner, ?2 zones, ?3 active days, ?4 sessions, ?5 epoch, ?6 position.
update tierkeep_learner
set zones = ?2, active_days = ?3, sessions = ?4, epoch = ?5, position = ?6
where user_id = ?1
