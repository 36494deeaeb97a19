-- Ends the attempt with the token ?2: nothing if the run has passed to somebody else. One that is to be tried again waits for
-- ?4 microseconds.
update tierkeep_schedule_run
set state = ?3, run_at = case when ?3 = 'waiting' then cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 + ?4 else run_at end,
    failures = ?5, output = ?6, error = ?7, ended_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, session = null, lease_until = null
where id = ?1 and token = ?2 and state = 'works'
returning id, task, due, asked_for,
    state, attempts, started_at, ended_at,
    holder, output, error
