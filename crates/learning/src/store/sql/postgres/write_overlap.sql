-- Whether another session of the learner shares time with one: starts from a week before it up to its end are looked at.
-- $1 learner, $2 session, $3 its start, $4 its end, $5 a week before its start, $6 now, up to which open ones last.
select exists (
    select 1 from (
        select id, start_time, end_time, duration_minutes, is_active
        from study_sessions
        where user_id = $1::{key} and start_time >= $5::timestamptz and start_time < $4::timestamptz
          and id <> $2::{key}
        union all
        select id, start_time, end_time, duration_minutes, is_active
        from study_sessions_archive s
        where s.user_id = $1::{key} and s.start_time >= $5::timestamptz and s.start_time < $4::timestamptz
          and s.id <> $2::{key} and not exists (select 1 from study_sessions live where live.id = s.id)
    ) other
    where coalesce(
            end_time,
            greatest(
                start_time + make_interval(mins => cast(least(greatest(duration_minutes, 0), 10080) as integer)),
                case when is_active then $6::timestamptz end
            )
        ) > greatest(start_time, $3::timestamptz)
)
