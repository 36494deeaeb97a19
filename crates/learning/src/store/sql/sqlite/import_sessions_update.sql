-- Replaces the row of a known id. Parameters in the order of the columns.
update study_sessions
set
    user_id = ?2, course_progress_id = ?3, start_time = ?4, end_time = ?5, duration_minutes = ?6,
    effectiveness_rating = ?7, focus_score = ?8, break_count = ?9, is_active = ?10,
    learning_environment = ?11, device_type = ?12, subject_category = ?13, content_covered = ?14,
    notes = ?15, created_at = ?16, updated_at = ?17, goal_id = ?18, learning_plan_id = ?19, estimator = ?20
where id = ?1
