-- A learner's own row. $1 learner.
select id, email, username, is_active, last_login, created_at, time_zone from users where id = $1::{key}
