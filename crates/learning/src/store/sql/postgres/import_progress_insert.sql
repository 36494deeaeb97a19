-- Rows of the staging table whose id is unknown.
insert into course_progress (
    id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, learning_hour_total,
    est_finish_hour, difficulty, created_at, updated_at
)
select
    id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, learning_hour_total,
    est_finish_hour, difficulty, created_at, updated_at
from tierkeep_stage
on conflict (id) do nothing
