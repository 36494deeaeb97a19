-- A run ends.
update tierkeep_run
set ended = $2, ended_at = clock_timestamp(), reason = $3, report = $4
where id = $1 and ended_at is null
