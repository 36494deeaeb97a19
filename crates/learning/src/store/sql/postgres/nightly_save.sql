-- Writes nightly rows; those that lie there as they are stay as they are. $1 learners, $2 days since 1970, $3 to $17 the columns.
insert into tierkeep_learning_analytics (
    user_id, date,
    iso_year, iso_week, total_sessions, total_duration, avg_effectiveness, avg_focus_score, productive_sessions,
    productivity_rate, most_productive_hour, preferred_environment, preferred_device, preferred_subject,
    improvement_trend, current_streak, time_zone, computed_at
)
select n.user_id, date '1970-01-01' + n.day,
       n.iso_year, n.iso_week, n.total_sessions, n.total_duration, n.avg_effectiveness, n.avg_focus_score,
       n.productive_sessions, n.productivity_rate, n.most_productive_hour, n.preferred_environment, n.preferred_device,
       n.preferred_subject, n.improvement_trend, n.current_streak, n.time_zone, clock_timestamp()
from unnest(
    $1::{key}[], $2::integer[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[], $7::float8[], $8::float8[],
    $9::bigint[], $10::float8[], $11::integer[], $12::text[], $13::text[], $14::text[], $15::text[], $16::integer[],
    $17::text[]
) as n (
    user_id, day,
    iso_year, iso_week, total_sessions, total_duration, avg_effectiveness, avg_focus_score, productive_sessions,
    productivity_rate, most_productive_hour, preferred_environment, preferred_device, preferred_subject,
    improvement_trend, current_streak, time_zone
)
where not exists (
    select from tierkeep_learning_analytics k
    where k.user_id = n.user_id and k.date = date '1970-01-01' + n.day
      and (
          k.iso_year, k.iso_week, k.total_sessions, k.total_duration, k.avg_effectiveness, k.avg_focus_score,
          k.productive_sessions, k.productivity_rate, k.most_productive_hour, k.preferred_environment,
          k.preferred_device, k.preferred_subject, k.improvement_trend, k.current_streak, k.time_zone
      ) is not distinct from (
          n.iso_year, n.iso_week, n.total_sessions, n.total_duration, n.avg_effectiveness, n.avg_focus_score,
          n.productive_sessions, n.productivity_rate, n.most_productive_hour, n.preferred_environment,
          n.preferred_device, n.preferred_subject, n.improvement_trend, n.current_streak, n.time_zone
      )
)
on conflict (user_id, date) do update set
    iso_year = excluded.iso_year, iso_week = excluded.iso_week, total_sessions = excluded.total_sessions,
    total_duration = excluded.total_duration, avg_effectiveness = excluded.avg_effectiveness,
    avg_focus_score = excluded.avg_focus_score, productive_sessions = excluded.productive_sessions,
    productivity_rate = excluded.productivity_rate, most_productive_hour = excluded.most_productive_hour,
    preferred_environment = excluded.preferred_environment, preferred_device = excluded.preferred_device,
    preferred_subject = excluded.preferred_subject, improvement_trend = excluded.improvement_trend,
    current_streak = excluded.current_streak, time_zone = excluded.time_zone, computed_at = excluded.computed_at
