-- Replaces the row of a known id. Parameters in the order of the columns.
update course_progress
set
    user_id = ?2, content_id = ?3, subject_name = ?4, proficiency_level = ?5, learning_hour_week = ?6,
    learning_hour_total = ?7, est_finish_hour = ?8, difficulty = ?9, created_at = ?10, updated_at = ?11
where id = ?1
