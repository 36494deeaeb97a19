-- Forgets the months of some learners. $1 learners.
delete from tierkeep_month where user_id = any($1::{key}[])
