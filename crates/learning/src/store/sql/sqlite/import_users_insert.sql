-- A new row; a known id changes nothing. Parameters in the order of the columns.
insert into users (
    id, email, username, is_active, last_login, created_at, time_zone
) values (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7
)
on conflict (id) do nothing
