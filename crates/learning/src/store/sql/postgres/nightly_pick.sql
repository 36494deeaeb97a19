-- Learners who wait for nightly rows, in the order of their ids. $1 first id, $2 the last day that may be over anywhere, $3 how
-- many.
select user_id from tierkeep_analytics_due where user_id >= $1::{key} and first_day <= $2 order by user_id limit $3
