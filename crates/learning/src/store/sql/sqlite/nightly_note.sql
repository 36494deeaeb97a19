-- Makes the nightly rows of a learner due from a day on. ?1 learner, ?2 the day.
insert into tierkeep_analytics_due (user_id, first_day) values (?1, ?2)
on conflict (user_id) do update set first_day = excluded.first_day where first_day > excluded.first_day
