-- Empties the answers that speak of a learner. The keys stay, so that a retry does not write another learner's rows again.
-- All of them before what points at them, so that this and forgetting old keys do not wait for each other. $1 learner.
update tierkeep_idempotency set request = '', answer = ''
where key in (select key from tierkeep_idempotency_learner where user_id = $1)
