-- Rows of the staging table whose id is unknown.
insert into study_sessions (
    id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating,
    focus_score, break_count, is_active, learning_environment, device_type, subject_category,
    content_covered, notes, created_at, updated_at, goal_id, learning_plan_id, estimator
)
select
    id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating,
    focus_score, break_count, is_active, learning_environment, device_type, subject_category,
    content_covered, notes, created_at, updated_at, goal_id, learning_plan_id, estimator
from tierkeep_stage
on conflict (id) do nothing
