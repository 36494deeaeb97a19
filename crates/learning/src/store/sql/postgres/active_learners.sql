-- Learners who may have been active, in the order of their ids, with what decides it: the starts of their valid sessions,
-- of those that count in any zone only that there is one (null). $1 first id, $2 first start that may count, $3 end of those,
-- $4 first start that counts in any zone, $5 end of those.
select c.user_id, c.start_time, u.time_zone, l.zones
from (
    select v.user_id, case when v.start_time >= $4 and v.start_time < $5 then null else v.start_time end
    from (
        select s.user_id, s.start_time
        from study_sessions s
        where s.start_time >= $2 and s.start_time < $3 and s.user_id >= $1::{key}
          and coalesce(s.duration_minutes, 0) >= 0
          and (s.end_time is null or s.end_time >= s.start_time)
          and (s.effectiveness_rating is null or s.effectiveness_rating between 1 and 5)
          and (s.focus_score is null or s.focus_score between 0 and 1)
        union all
        select s.user_id, s.start_time
        from study_sessions_archive s
        where s.start_time >= $2 and s.start_time < $3 and s.user_id >= $1::{key}
          and coalesce(s.duration_minutes, 0) >= 0
          and (s.end_time is null or s.end_time >= s.start_time)
          and (s.effectiveness_rating is null or s.effectiveness_rating between 1 and 5)
          and (s.focus_score is null or s.focus_score between 0 and 1)
          and not exists (select from study_sessions live where live.id = s.id)
    ) v
    group by 1, 2
) c (user_id, start_time)
join users u on u.id = c.user_id
left join tierkeep_learner l on l.user_id = c.user_id
order by c.user_id, c.start_time nulls first
