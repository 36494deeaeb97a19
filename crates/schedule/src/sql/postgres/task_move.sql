-- When a task is due next, and what that follows from.
update tierkeep_schedule
set timing = $2, zone = $3, next_at = timestamptz 'epoch' + $4 * interval '1 microsecond'
where name = $1
