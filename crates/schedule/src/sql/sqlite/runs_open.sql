-- What waits or works of a task, and whether whoever works at it has lost it: ?2 says that the lock of its file is ours.
select id, state = 'works', due, run_at, attempts, failures, asked_for, only_here,
    coalesce(state = 'works' and (lease_until <= cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 or (session is not null and ?2)), 0)
from tierkeep_schedule_run
where task = ?1 and state in ('waiting', 'works')
order by run_at, id
