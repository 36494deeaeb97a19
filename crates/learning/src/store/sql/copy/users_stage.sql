-- A COPY of the same columns into the staging table.
copy tierkeep_stage (
    id, email, username, is_active, last_login, created_at, time_zone
) from stdin (format binary)
