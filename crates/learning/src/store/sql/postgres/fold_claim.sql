-- Locks learners, in order, after making a row for those that have none. $1 learners, in order. The condition that is
-- never true keeps a known row as it is and locks it all the same; one that a fold in progress removes is made again.
insert into tierkeep_learner as l (user_id)
select id from unnest($1::{key}[]) as a (id)
on conflict (user_id) do update set epoch = l.epoch where false
