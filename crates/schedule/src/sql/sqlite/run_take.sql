-- Begins an attempt at the run ?1 with the token ?2: ?3 failed before, ?4 does it, and ?5 proves that it lives, or the lease of
-- ?6 microseconds.
update tierkeep_schedule_run
set state = 'works', attempts = attempts + 1, failures = ?3, token = ?2, holder = ?4, session = ?5,
    lease_until = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 + ?6, started_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, ended_at = null
where id = ?1
returning attempts
