-- Keeps whom the answer under a key speaks of. $1 key, $2 learners.
insert into tierkeep_idempotency_learner (user_id, key) select a.id, $1::text from unnest($2::{key}[]) as a (id)
on conflict do nothing
