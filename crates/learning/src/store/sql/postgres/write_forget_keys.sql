-- Forgets keys taken before an instant, a bounded number, and of whom they spoke; those that another node forgets now are left
-- to it. $1 instant.
with old as (
    select key from tierkeep_idempotency where created_at < $1 order by created_at limit 1000 for update skip locked
), named as (
    delete from tierkeep_idempotency_learner where key in (select key from old)
)
delete from tierkeep_idempotency where key in (select key from old)
