-- Rows of the staging table whose id is unknown.
insert into users (
    id, email, username, is_active, last_login, created_at, time_zone
)
select
    id, email, username, is_active, last_login, created_at, time_zone
from tierkeep_stage
on conflict (id) do nothing
