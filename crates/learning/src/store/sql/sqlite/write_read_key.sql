-- What was asked and answered under a key. ?1 key.
select request, answer from tierkeep_idempotency where key = ?1
