-- A run of a task is done.
update tierkeep_schedule
set succeeded_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, failures = 0
where name = ?1
