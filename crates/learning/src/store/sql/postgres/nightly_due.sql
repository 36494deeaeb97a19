-- The first day of learners whose nightly rows are due. $1 learners.
select user_id, first_day from tierkeep_analytics_due where user_id = any($1::{key}[])
