-- A page of learners in the order of their ids. ?1 size.
-- A text that is no UUID in lower case is the key of nobody.
select id, email, username, is_active, last_login, created_at, time_zone
from users
where ('{key}' = 'integer' or (length(id) = 36 and id not glob '*[^0-9a-f-]*'))
order by id
limit ?1
