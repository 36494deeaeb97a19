-- Random learners. $1 how many.
select c.id
from (select id from users union select user_id from tierkeep_learner) c (id)
order by random()
limit $1
