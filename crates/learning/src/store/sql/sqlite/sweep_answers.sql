-- Removes what tells whom an answer speaks of where the answer is gone. ?1 how many.
delete from tierkeep_idempotency_learner
where (user_id, key) in (
    select n.user_id, n.key
    from tierkeep_idempotency_learner n
    where not exists (select 1 from tierkeep_idempotency i where i.key = n.key)
    limit ?1
)
