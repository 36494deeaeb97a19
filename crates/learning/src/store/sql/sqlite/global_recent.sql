-- Valid sessions of all learners that start in a span, with the learner's zones. ?1 first start, ?2 end of starts.
-- A text that is no UUID in lower case is the key of nobody.
select v.user_id, u.time_zone, l.zones, v.start_time
from (
    select s.user_id, s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score
    from study_sessions s
    where s.start_time >= ?1 and s.start_time < ?2
    union all
    select s.user_id, s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score
    from study_sessions_archive s
    where s.start_time >= ?1 and s.start_time < ?2
      and not exists (select 1 from study_sessions live where live.id = s.id)
) v
join users u on u.id = v.user_id and ('{key}' = 'integer' or (length(u.id) = 36 and u.id not glob '*[^0-9a-f-]*'))
left join tierkeep_learner l on l.user_id = v.user_id
where coalesce(v.duration_minutes, 0) >= 0
  and (v.end_time is null or v.end_time >= v.start_time)
  and (v.effectiveness_rating is null or v.effectiveness_rating between 1 and 5)
  and (v.focus_score is null or v.focus_score between 0 and 1)
