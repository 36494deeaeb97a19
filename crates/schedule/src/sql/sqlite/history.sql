-- Runs, the newest first; ?1 is empty for those of all tasks.
select id, task, due, asked_for,
    state, attempts, started_at, ended_at,
    holder, output, error
from tierkeep_schedule_run
where task = ?1 or ?1 = ''
order by id desc
limit ?2
