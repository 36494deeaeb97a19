-- Keeps whom the answer under a key speaks of. ?1 key, ?2 learner.
insert into tierkeep_idempotency_learner (user_id, key) values (?2, ?1)
on conflict do nothing
