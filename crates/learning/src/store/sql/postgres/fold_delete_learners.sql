-- $1 learners.
delete from tierkeep_learner where user_id = any($1::{key}[])
