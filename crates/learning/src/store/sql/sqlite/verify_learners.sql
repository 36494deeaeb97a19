-- Learners of whom anything is stored, or who are there, in the order of their ids. ?1 first id, ?2 how many.
-- A text that is no UUID in lower case is the key of nobody.
select c.id
from (
    select * from (select id from users where id >= ?1
        and ('{key}' = 'integer' or (length(id) = 36 and id not glob '*[^0-9a-f-]*')) order by id limit ?2)
    union
    select * from (select user_id as id from tierkeep_learner where user_id >= ?1 order by user_id limit ?2)
) c
order by c.id
limit ?2
