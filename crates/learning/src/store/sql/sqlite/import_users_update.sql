-- Replaces the row of a known id. Parameters in the order of the columns.
update users
set
    email = ?2, username = ?3, is_active = ?4, last_login = ?5, created_at = ?6, time_zone = ?7
where id = ?1
