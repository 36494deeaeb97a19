-- Ends the attempt with the token $2: nothing if the run has passed to somebody else. One that is to be tried again waits for
-- $4 microseconds.
update tierkeep_schedule_run
set state = $3, run_at = case when $3 = 'waiting' then clock_timestamp() + $4 * interval '1 microsecond' else run_at end,
    failures = $5, output = $6, error = $7, ended_at = clock_timestamp(), session = null, lease_until = null
where id = $1 and token = $2 and state = 'works'
returning id, task, cast(extract(epoch from due) * 1000000 as bigint),
    asked_for, state, attempts,
    cast(extract(epoch from started_at) * 1000000 as bigint),
    cast(extract(epoch from ended_at) * 1000000 as bigint),
    holder, output, error
