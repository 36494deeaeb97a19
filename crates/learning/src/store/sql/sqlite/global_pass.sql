-- All learners from the rows: one group for each environment and device, summed by the reader of this query.
-- ?1 first accepted start, ?2 end of them.
-- A learner with a base has valid sessions, although they are gone: what they counted for is added by the reader.
-- Minutes are cut off where the reader of a single row cuts them off, so that their sum stays inside its type.
-- A text that is no UUID in lower case is the key of nobody.
select v.learning_environment, v.device_type, v.user_id, count(v.row_of), coalesce(sum(min(v.duration_minutes, 2147483647)), 0)
from (
    select s.user_id, s.duration_minutes, s.learning_environment, s.device_type,
           s.start_time, s.end_time, s.effectiveness_rating, s.focus_score, 1 as row_of
    from study_sessions s
    union all
    select s.user_id, s.duration_minutes, s.learning_environment, s.device_type,
           s.start_time, s.end_time, s.effectiveness_rating, s.focus_score, 1
    from study_sessions_archive s
    where not exists (select 1 from study_sessions live where live.id = s.id)
    union all
    select b.user_id, null, null, null, ?1, null, null, null, null from tierkeep_base b
) v
join users u on u.id = v.user_id
where v.start_time >= ?1 and v.start_time < ?2
  and coalesce(v.duration_minutes, 0) >= 0
  and (v.end_time is null or v.end_time >= v.start_time)
  and (v.effectiveness_rating is null or v.effectiveness_rating between 1 and 5)
  and (v.focus_score is null or v.focus_score between 0 and 1)
group by v.user_id, v.learning_environment, v.device_type
having ('{key}' = 'integer' or (length(v.user_id) = 36 and v.user_id not glob '*[^0-9a-f-]*'))
