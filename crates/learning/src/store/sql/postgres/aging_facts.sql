-- What archived sessions count for, of those that start at an accepted instant and whose id is not live: the others count
-- for nothing. $1 ids, $2 first accepted start, $3 end of them.
select s.user_id, s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator
from study_sessions_archive s
where s.id = any($1::{key}[]) and s.start_time >= $2 and s.start_time < $3
  and not exists (select from study_sessions live where live.id = s.id)
