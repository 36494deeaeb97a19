-- A row to lock for learners that have none. $1 learners, in order.
insert into tierkeep_learner (user_id)
select id from unnest($1::{key}[]) as a (id)
on conflict do nothing
