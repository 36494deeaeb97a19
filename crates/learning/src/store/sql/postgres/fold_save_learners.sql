-- $1 learners, $2 zones, $3 active days, $4 sessions, $5 epoch, $6 position.
update tierkeep_learner l
set zones = a.zones, active_days = a.active_days, sessions = a.sessions, epoch = $5, position = $6
from unnest($1::{key}[], $2::text[], $3::bytea[], $4::bigint[]) as a (user_id, zones, active_days, sessions)
where l.user_id = a.user_id
