-- $1 learners, $2 months, $3 bases.
insert into tierkeep_base (user_id, month, days)
select * from unnest($1::{key}[], $2::integer[], $3::bytea[])
on conflict (user_id, month) do update set days = excluded.days
