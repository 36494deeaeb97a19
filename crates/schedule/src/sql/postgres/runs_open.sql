-- What waits or works of a task, and whether whoever works at it has lost it.
select id, state = 'works', cast(extract(epoch from due) * 1000000 as bigint), cast(extract(epoch from run_at) * 1000000 as bigint), attempts, failures, asked_for, only_here,
    coalesce(state = 'works' and (lease_until <= clock_timestamp()
        or (r.session is not null and not exists (
                select 1
                from pg_locks l
                where l.locktype = 'advisory' and l.classid = 1953198947 and l.objid::bigint = r.session and l.objsubid = 2
                    and l.pid = r.session and l.granted))), false)
from tierkeep_schedule_run r
where task = $1 and state in ('waiting', 'works')
order by run_at, id
