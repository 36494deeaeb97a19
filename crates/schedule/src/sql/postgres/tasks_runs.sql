-- Of each task the run that works and the one that ended last.
select r.id, r.task, cast(extract(epoch from r.due) * 1000000 as bigint),
    r.asked_for, r.state, r.attempts,
    cast(extract(epoch from r.started_at) * 1000000 as bigint),
    cast(extract(epoch from r.ended_at) * 1000000 as bigint),
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
