-- Forgets keys taken before an instant and more than a day ago by the clock of the database, a bounded number, and of whom they spoke; those that another node forgets now are left
-- to it. $1 instant.
with old as (
    select key from tierkeep_idempotency where created_at < least($1, clock_timestamp() - interval '24 hours') order by created_at limit 1000 for update skip locked
), named as (
    delete from tierkeep_idempotency_learner where key in (select key from old)
)
delete from tierkeep_idempotency where key in (select key from old)
