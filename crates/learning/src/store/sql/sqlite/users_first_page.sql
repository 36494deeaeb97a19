-- A page of learners in the order of their ids. ?1 size.
select id, email, username, is_active, last_login, created_at, time_zone
from users
order by id
limit ?1
