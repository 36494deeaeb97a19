-- The day-summary query: sessions of a learner that start in a span, live and archived. An id that is both counts as
-- live. ?1 learner, ?2 first start, ?3 end of starts.
select s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator
from study_sessions s
where s.user_id = ?1 and s.start_time >= ?2 and s.start_time < ?3
union all
select s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator
from study_sessions_archive s
where s.user_id = ?1 and s.start_time >= ?2 and s.start_time < ?3
  and not exists (select 1 from study_sessions live where live.id = s.id)
