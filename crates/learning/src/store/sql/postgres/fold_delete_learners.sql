-- Learners and what was written about them at night. $1 learners.
with due as (
    delete from tierkeep_analytics_due where user_id = any($1::{key}[])
), nights as (
    delete from tierkeep_learning_analytics where user_id = any($1::{key}[])
)
delete from tierkeep_learner where user_id = any($1::{key}[])
