-- Changes of some learners since their last fold, oldest first. $1 learners.
select id, key, at, first, last, note, source = 'users'
from tierkeep_outbox
where key = any($1::{key}[]) and not settled
order by id
