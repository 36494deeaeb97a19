-- Removes what tells whom an answer speaks of where the answer is gone. $1 how many.
delete from tierkeep_idempotency_learner
where ctid = any (array (
    select n.ctid
    from tierkeep_idempotency_learner n
    where not exists (select from tierkeep_idempotency i where i.key = n.key)
    limit $1
))
