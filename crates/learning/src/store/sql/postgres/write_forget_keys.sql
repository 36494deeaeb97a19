-- Forgets keys taken before an instant, a bounded number; those that another node forgets now are left to it. $1 instant.
delete from tierkeep_idempotency where key in (
    select key from tierkeep_idempotency where created_at < $1 order by created_at limit 1000 for update skip locked
)
