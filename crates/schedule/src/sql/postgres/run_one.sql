-- A run.
select id, task, cast(extract(epoch from due) * 1000000 as bigint),
    asked_for, state, attempts,
    cast(extract(epoch from started_at) * 1000000 as bigint),
    cast(extract(epoch from ended_at) * 1000000 as bigint),
    holder, output, error
from tierkeep_schedule_run
where id = $1
