-- Learners of whom anything is stored, or who are there, in the order of their ids. $1 first id, $2 how many.
select c.id
from (
    (select id from users where id >= $1::{key} order by id limit $2)
    union
    (select user_id from tierkeep_learner where user_id >= $1::{key} order by user_id limit $2)
) c (id)
order by c.id
limit $2
