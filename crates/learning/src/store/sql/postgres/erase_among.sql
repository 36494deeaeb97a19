-- Which of some learners were erased. $1 learners.
select user_id from tierkeep_erased where user_id = any($1::{key}[])
