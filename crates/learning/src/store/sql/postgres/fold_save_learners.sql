-- $1 learners, $2 zones, $3 active days, $4 sessions, $5 epoch, $6 position, $7 the first day that changed, if any: from it
-- on the nightly rows are due, which most of the time is known.
with due as (
    insert into tierkeep_analytics_due as d (user_id, first_day)
    select a.user_id, a.first_day
    from unnest($1::{key}[], $7::integer[]) as a (user_id, first_day)
    where a.first_day is not null
      and not exists (
          select from tierkeep_analytics_due known
          where known.user_id = a.user_id and known.first_day <= a.first_day
      )
    on conflict (user_id) do update set first_day = least(d.first_day, excluded.first_day)
)
update tierkeep_learner l
set zones = a.zones, active_days = a.active_days, sessions = a.sessions, epoch = $5, position = $6
from unnest($1::{key}[], $2::text[], $3::bytea[], $4::bigint[]) as a (user_id, zones, active_days, sessions)
where l.user_id = a.user_id
