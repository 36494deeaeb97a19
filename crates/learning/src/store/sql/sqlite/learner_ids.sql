-- Learners in the order of their ids. ?1 first id, ?2 how many.
-- A text that is no UUID in lower case is the key of nobody.
select id
from users
where id >= ?1 and ('{key}' = 'integer' or (length(id) = 36 and id not glob '*[^0-9a-f-]*'))
order by id
limit ?2
