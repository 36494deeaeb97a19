-- A run of a task has failed.
update tierkeep_schedule
set failures = failures + 1
where name = $1
