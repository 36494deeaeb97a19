-- Remembers that a learner was erased. $1 learner.
insert into tierkeep_erased (user_id, erased_at) values ($1::{key}, clock_timestamp())
on conflict (user_id) do update set erased_at = excluded.erased_at
returning erased_at
