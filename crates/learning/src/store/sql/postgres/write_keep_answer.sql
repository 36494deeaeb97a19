-- Keeps the answer under a key that this transaction has taken. $1 key, $2 answer.
update tierkeep_idempotency set answer = $2 where key = $1
