-- A new row; a known id changes nothing. Parameters in the order of the columns.
insert into study_sessions (
    id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating,
    focus_score, break_count, is_active, learning_environment, device_type, subject_category,
    content_covered, notes, created_at, updated_at, goal_id, learning_plan_id, estimator
) values (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20
)
on conflict (id) do nothing
