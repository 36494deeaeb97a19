-- The columns a COPY sends, in the order of the encoder.
copy users (
    id, email, username, is_active, last_login, created_at, time_zone
) from stdin (format binary)
