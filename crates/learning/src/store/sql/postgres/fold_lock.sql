-- What is stored of some learners, locked in the order of their ids; what decides whether it is current. $1 learners.
select l.user_id, l.epoch = s.epoch, l.zones, l.active_days, l.sessions
from tierkeep_learner l
cross join tierkeep_state s
where l.user_id = any($1::{key}[])
order by l.user_id
for update of l
