-- Replaces the rows whose id is known by those of the staging table.
update course_progress t
set
    user_id = i.user_id, content_id = i.content_id, subject_name = i.subject_name,
    proficiency_level = i.proficiency_level, learning_hour_week = i.learning_hour_week,
    learning_hour_total = i.learning_hour_total, est_finish_hour = i.est_finish_hour,
    difficulty = i.difficulty, created_at = i.created_at, updated_at = i.updated_at
from tierkeep_stage i
where t.id = i.id
