-- Forgets what is derived of a learner; their zones stay, since rows do not tell them. ?1 learner, ?2 whether the zones
-- cannot be read.
update tierkeep_learner
set active_days = x'', sessions = 0, epoch = 0, zones = case when ?2 then null else zones end
where user_id = ?1
