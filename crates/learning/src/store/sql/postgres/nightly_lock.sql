-- What is stored of some learners, which no fold changes until the transaction ends. In the order in which folds lock them.
-- $1 learners.
select l.user_id, l.epoch = s.epoch, l.zones, l.active_days, s.time_zone, s.day_start
from tierkeep_learner l
cross join tierkeep_state s
where l.user_id = any($1::{key}[])
order by l.user_id
for share of l
