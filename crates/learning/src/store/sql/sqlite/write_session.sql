-- A session by its id, the live one before an archived one. ?1 id.
select id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, focus_score,
       break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes,
       created_at, updated_at, goal_id, learning_plan_id, estimator, 0 as archived
from study_sessions
where id = ?1
union all
select id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, focus_score,
       break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes,
       created_at, updated_at, goal_id, learning_plan_id, estimator, 1 as archived
from study_sessions_archive s
where s.id = ?1
  and not exists (select 1 from study_sessions live where live.id = ?1)
