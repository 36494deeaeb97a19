-- A page of learners in the order of their ids. $1 size, $2 last id of the page before.
select id, email, username, is_active, last_login, created_at, time_zone
from users
where id > $2::{key}
order by id
limit $1
