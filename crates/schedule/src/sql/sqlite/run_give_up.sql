-- Ends a run that nobody works at any more.
update tierkeep_schedule_run
set state = 'failed', failures = ?2, error = ?3, ended_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, session = null, lease_until = null
where id = ?1
returning id, task, due, asked_for,
    state, attempts, started_at, ended_at,
    holder, output, error
