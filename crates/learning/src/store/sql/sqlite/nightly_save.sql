-- Writes a nightly row; one that lies there as it is stays as it is. ?1 learner, ?2 date, ?3 to ?17 the columns.
insert into tierkeep_learning_analytics (
    user_id, date,
    iso_year, iso_week, total_sessions, total_duration, avg_effectiveness, avg_focus_score, productive_sessions,
    productivity_rate, most_productive_hour, preferred_environment, preferred_device, preferred_subject,
    improvement_trend, current_streak, time_zone, computed_at
)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
       strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
where not exists (
    select 1 from tierkeep_learning_analytics k
    where k.user_id = ?1 and k.date = ?2
      and (
          k.iso_year, k.iso_week, k.total_sessions, k.total_duration, k.avg_effectiveness, k.avg_focus_score,
          k.productive_sessions, k.productivity_rate, k.most_productive_hour, k.preferred_environment,
          k.preferred_device, k.preferred_subject, k.improvement_trend, k.current_streak, k.time_zone
      ) is (?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
)
on conflict (user_id, date) do update set
    iso_year = excluded.iso_year, iso_week = excluded.iso_week, total_sessions = excluded.total_sessions,
    total_duration = excluded.total_duration, avg_effectiveness = excluded.avg_effectiveness,
    avg_focus_score = excluded.avg_focus_score, productive_sessions = excluded.productive_sessions,
    productivity_rate = excluded.productivity_rate, most_productive_hour = excluded.most_productive_hour,
    preferred_environment = excluded.preferred_environment, preferred_device = excluded.preferred_device,
    preferred_subject = excluded.preferred_subject, improvement_trend = excluded.improvement_trend,
    current_streak = excluded.current_streak, time_zone = excluded.time_zone, computed_at = excluded.computed_at
