-- Removes nightly rows of learners who are nobody, as in `sweep_learners`. $1 how many.
delete from tierkeep_learning_analytics
where ctid = any (array (
    select k.ctid
    from tierkeep_learning_analytics k
    where not exists (select from tierkeep_learner l where l.user_id = k.user_id)
      and not exists (select from users u where u.id = k.user_id)
      and not exists (select from tierkeep_outbox o where o.key = k.user_id and not o.settled)
    limit $1
))
