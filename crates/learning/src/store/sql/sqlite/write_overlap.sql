-- Whether another session of the learner shares time with one: starts from a week before it up to its end are looked at.
-- ?1 learner, ?2 session, ?3 its start, ?4 its end, ?5 a week before its start, ?6 now, up to which open ones last.
select exists (
    select 1 from (
        select id, start_time, end_time, duration_minutes, is_active
        from study_sessions
        where user_id = ?1 and start_time >= ?5 and start_time < ?4 and id <> ?2
        union all
        select id, start_time, end_time, duration_minutes, is_active
        from study_sessions_archive s
        where s.user_id = ?1 and s.start_time >= ?5 and s.start_time < ?4
          and s.id <> ?2 and not exists (select 1 from study_sessions live where live.id = s.id)
    ) other
    where coalesce(
            end_time,
            max(
                start_time + min(max(duration_minutes, 0), 10080) * 60000000,
                case when is_active then ?6 else start_time end
            )
        ) > max(start_time, ?3)
)
