-- Forgets what is derived of some learners; their zones stay, since rows do not tell them. $1 learners, $2 those whose
-- zones cannot be read.
update tierkeep_learner
set active_days = '', sessions = 0, epoch = 0,
    zones = case when user_id = any($2::{key}[]) then null else zones end
where user_id = any($1::{key}[])
