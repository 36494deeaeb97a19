-- Learners whose summaries are of an older epoch, or were never built, in the order of their ids. $1 how many.
select c.id
from (
    select u.id from users u
    where not exists (select from tierkeep_learner l join tierkeep_state s on l.epoch = s.epoch where l.user_id = u.id)
    union
    select l.user_id from tierkeep_learner l join tierkeep_state s on l.epoch <> s.epoch
) c (id)
order by c.id
limit $1
