-- The columns a COPY sends, in the order of the encoder.
copy course_progress (
    id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, learning_hour_total,
    est_finish_hour, difficulty, created_at, updated_at
) from stdin (format binary)
