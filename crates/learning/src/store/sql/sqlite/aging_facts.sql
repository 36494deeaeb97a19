-- What an archived session counts for; none if it starts at no accepted instant or its id is live. ?1 id, ?2 first accepted
-- start, ?3 end of them.
select s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator, s.user_id
from study_sessions_archive s
where s.id = ?1 and s.start_time >= ?2 and s.start_time < ?3
  and not exists (select 1 from study_sessions live where live.id = s.id)
