-- The columns a COPY sends, in the order of the encoder.
copy study_sessions (
    id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating,
    focus_score, break_count, is_active, learning_environment, device_type, subject_category,
    content_covered, notes, created_at, updated_at, goal_id, learning_plan_id, estimator
) from stdin (format binary)
