-- A run.
select id, task, due, asked_for,
    state, attempts, started_at, ended_at,
    holder, output, error
from tierkeep_schedule_run
where id = ?1
