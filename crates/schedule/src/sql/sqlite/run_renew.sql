-- Renews the lease of whoever works with the token ?2, if it still is theirs.
update tierkeep_schedule_run
set lease_until = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 + ?3, session = ?4
where id = ?1 and token = ?2 and state = 'works'
returning id
