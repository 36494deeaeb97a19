-- A page of a learner's sessions, live and archived, newest first. ?1 learner, ?2 size, ?3 first accepted start,
-- ?4 end of them.
-- A text that is no UUID in lower case is the key of nobody.
select * from (select * from (
    select id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, focus_score,
            break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes,
            created_at, updated_at, goal_id, learning_plan_id, estimator, 0 as archived
    from study_sessions
    where ('{key}' = 'integer' or (length(id) = 36 and id not glob '*[^0-9a-f-]*'))
      and user_id = ?1 and start_time >= ?3 and start_time < ?4
    order by start_time desc, id desc
    limit ?2
)
union all
select * from (
    select id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, focus_score,
            break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes,
            created_at, updated_at, goal_id, learning_plan_id, estimator, 1 as archived
    from study_sessions_archive s
    where ('{key}' = 'integer' or (length(s.id) = 36 and s.id not glob '*[^0-9a-f-]*'))
      and s.user_id = ?1 and s.start_time >= ?3 and s.start_time < ?4
      and not exists (select 1 from study_sessions live where live.id = s.id)
    order by start_time desc, id desc
    limit ?2
)) both_tiers
order by start_time desc, id desc
limit ?2
