-- What was asked and answered under a key; both empty if it was erased with a learner. $1 key.
select request, answer from tierkeep_idempotency where key = $1
