-- Changes of some learners since their last fold, oldest first. $1 learners.
select id, user_id, at, first_start, last_start, zone
from tierkeep_outbox
where user_id = any($1::{key}[])
order by id
