-- Some learners' own rows and their sessions that start in a span, in one statement and so in one snapshot; a learner
-- without sessions has one row. $1 learners (one, or an array), $2 first start, $3 end of starts.
select a.ord, s.start_time, s.end_time, s.duration_minutes, s.effectiveness_rating, s.focus_score, s.break_count,
       s.is_active, s.learning_environment, s.device_type, s.subject_category, s.estimator,
       u.id is not null, u.time_zone, now()
from {learners}
left join users u on u.id = a.id
left join study_sessions s on s.user_id = u.id and s.start_time >= $2 and s.start_time < $3
order by a.ord
