-- Removes nightly rows of learners who are nobody, as in `sweep_learners`. ?1 how many.
delete from tierkeep_learning_analytics
where (user_id, date) in (
    select k.user_id, k.date
    from tierkeep_learning_analytics k
    where not exists (select 1 from tierkeep_learner l where l.user_id = k.user_id)
      and not exists (select 1 from users u where u.id = k.user_id)
      and not exists (select 1 from tierkeep_outbox o where o.key = k.user_id and o.settled = 0)
    limit ?1
)
