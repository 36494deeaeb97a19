-- Learners of whom something derived is stored and who are nobody: no row of their own, and no change that a fold is still to
-- see. ?1 how many.
select c.user_id
from (
    select l.user_id from tierkeep_learner l where not exists (select 1 from users u where u.id = l.user_id)
    union
    select m.user_id
    from tierkeep_month m
    where not exists (select 1 from tierkeep_learner l where l.user_id = m.user_id)
      and not exists (select 1 from users u where u.id = m.user_id)
) c
where not exists (select 1 from tierkeep_outbox o where o.key = c.user_id and o.settled = 0)
order by c.user_id
limit ?1
