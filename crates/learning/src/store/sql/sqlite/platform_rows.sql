-- A learner's sessions that start in a span. ?1 learner, ?2 first start, ?3 end of starts.
select s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator
from study_sessions s
where s.user_id = ?1 and s.start_time >= ?2 and s.start_time < ?3
