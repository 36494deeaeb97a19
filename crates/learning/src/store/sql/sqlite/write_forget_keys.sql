-- Forgets keys taken before an instant and more than a day ago by the clock of the database, a bounded number. ?1 instant.
delete from tierkeep_idempotency where key in (
    select key from tierkeep_idempotency where created_at < min(?1, cast(unixepoch('subsec') * 1000000 as integer) - 86400000000) order by created_at limit 1000
)
