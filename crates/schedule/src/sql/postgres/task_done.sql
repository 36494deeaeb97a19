-- A run of a task is done.
update tierkeep_schedule
set succeeded_at = clock_timestamp(), failures = 0
where name = $1
