-- Replaces the rows whose id is known by those of the staging table.
update users t
set
    email = i.email, username = i.username, is_active = i.is_active, last_login = i.last_login,
    created_at = i.created_at, time_zone = i.time_zone
from tierkeep_stage i
where t.id = i.id
