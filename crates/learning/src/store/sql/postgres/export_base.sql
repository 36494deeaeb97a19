-- A learner's bases. $1 learner.
select month, days from tierkeep_base where user_id = $1::{key} order by month
