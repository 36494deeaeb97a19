-- ?1 learner, ?2 month, ?3 base.
insert into tierkeep_base (user_id, month, days) values (?1, ?2, ?3)
on conflict (user_id, month) do update set days = excluded.days
