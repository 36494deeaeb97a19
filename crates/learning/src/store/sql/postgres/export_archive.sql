-- A learner's rows in the order of their ids. $1 learner, $2 first id, $3 how many.
select id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, focus_score,
       break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes,
       created_at, updated_at, goal_id, learning_plan_id, estimator, true as archived
from study_sessions_archive
where user_id = $1::{key} and id >= $2::{key}
order by id
limit $3
