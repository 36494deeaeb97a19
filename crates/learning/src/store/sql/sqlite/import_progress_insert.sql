-- A new row; a known id changes nothing. Parameters in the order of the columns.
insert into course_progress (
    id, user_id, content_id, subject_name, proficiency_level, learning_hour_week, learning_hour_total,
    est_finish_hour, difficulty, created_at, updated_at
) values (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
)
on conflict (id) do nothing
