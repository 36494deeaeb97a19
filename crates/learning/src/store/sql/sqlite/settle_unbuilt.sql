-- Learners whose summaries are of an older epoch, or were never built, in the order of their ids. ?1 how many.
-- A text that is no UUID in lower case is the key of nobody.
select c.id
from (
    select u.id as id from users u
    where not exists (select 1 from tierkeep_learner l join tierkeep_state s on l.epoch = s.epoch where l.user_id = u.id)
    union
    select l.user_id as id from tierkeep_learner l join tierkeep_state s on l.epoch <> s.epoch
) c
where ('{key}' = 'integer' or (length(c.id) = 36 and c.id not glob '*[^0-9a-f-]*'))
order by c.id
limit ?1
