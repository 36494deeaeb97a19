-- The day-summary query: sessions of some learners that start in a span each, live and archived. An id that is both
-- counts as live. $1 learners, $2 first start, $3 end of starts.
select a.ord, s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator
from unnest($1::{key}[], $2::timestamptz[], $3::timestamptz[]) with ordinality as a (user_id, first_start, end_start, ord)
join study_sessions s on s.user_id = a.user_id and s.start_time >= a.first_start and s.start_time < a.end_start
union all
select a.ord, s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator
from unnest($1::{key}[], $2::timestamptz[], $3::timestamptz[]) with ordinality as a (user_id, first_start, end_start, ord)
join study_sessions_archive s on s.user_id = a.user_id and s.start_time >= a.first_start and s.start_time < a.end_start
where not exists (select from study_sessions live where live.id = s.id)
