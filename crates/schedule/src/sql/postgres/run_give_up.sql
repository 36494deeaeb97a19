-- Ends a run that nobody works at any more.
update tierkeep_schedule_run
set state = 'failed', failures = $2, error = $3, ended_at = clock_timestamp(), session = null, lease_until = null
where id = $1
returning id, task, cast(extract(epoch from due) * 1000000 as bigint),
    asked_for, state, attempts,
    cast(extract(epoch from started_at) * 1000000 as bigint),
    cast(extract(epoch from ended_at) * 1000000 as bigint),
    holder, output, error
