-- Random learners. ?1 how many. A text that is no UUID in lower case is the key of nobody.
select c.id
from (select id from users union select user_id from tierkeep_learner) c
where ('{key}' = 'integer' or (length(c.id) = 36 and c.id not glob '*[^0-9a-f-]*'))
order by random()
limit ?1
