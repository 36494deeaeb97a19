-- Renews the lease of whoever works with the token $2, if it still is theirs.
update tierkeep_schedule_run
set lease_until = clock_timestamp() + $3 * interval '1 microsecond', session = $4
where id = $1 and token = $2 and state = 'works'
returning id
