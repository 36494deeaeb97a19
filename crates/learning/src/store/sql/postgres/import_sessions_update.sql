-- Replaces the rows whose id is known by those of the staging table.
update study_sessions t
set
    user_id = i.user_id, course_progress_id = i.course_progress_id, start_time = i.start_time,
    end_time = i.end_time, duration_minutes = i.duration_minutes,
    effectiveness_rating = i.effectiveness_rating, focus_score = i.focus_score, break_count = i.break_count,
    is_active = i.is_active, learning_environment = i.learning_environment, device_type = i.device_type,
    subject_category = i.subject_category, content_covered = i.content_covered, notes = i.notes,
    created_at = i.created_at, updated_at = i.updated_at, goal_id = i.goal_id,
    learning_plan_id = i.learning_plan_id, estimator = i.estimator
from tierkeep_stage i
where t.id = i.id
