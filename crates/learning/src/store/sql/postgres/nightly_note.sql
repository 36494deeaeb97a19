-- Makes the nightly rows of learners due from a day on. $1 learners, $2 the day.
insert into tierkeep_analytics_due as d (user_id, first_day)
select id, $2 from unnest($1::{key}[]) as a (id) where id is not null
on conflict (user_id) do update set first_day = least(d.first_day, excluded.first_day)
