-- Of each task the run that works and the one that ended last.
select r.id, r.task, r.due, r.asked_for,
    r.state, r.attempts, r.started_at, r.ended_at,
    r.holder, r.output, r.error
from tierkeep_schedule_run r
where r.state = 'works'
    or r.id in (
        select (
            select l.id
            from tierkeep_schedule_run l
            where l.task = s.name and l.state in ('done', 'failed', 'refused')
            order by l.ended_at desc, l.id desc
            limit 1)
        from tierkeep_schedule s)
