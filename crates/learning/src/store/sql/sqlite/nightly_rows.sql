-- A learner's nightly rows in the order of their dates. ?1 learner, ?2 first date, ?3 how many.
select date,
       iso_year, iso_week, total_sessions, total_duration, avg_effectiveness, avg_focus_score, productive_sessions,
       productivity_rate, most_productive_hour, preferred_environment, preferred_device, preferred_subject,
       improvement_trend, current_streak, time_zone
from tierkeep_learning_analytics
where user_id = ?1 and date >= ?2
order by date
limit ?3
