-- When each of the tasks ?1 (names with commas between them) wants attention, and whether somebody had to look if the
-- holder of its run still lives. While a run works nothing else of its task begins.
select name,
    case when works then free_at
        when enabled and next_at is not null then min(next_at, coalesce(run_at, next_at))
        else run_at end,
    cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000,
    works and has_proof
from (
    select s.name, s.enabled, s.next_at,
        coalesce(max(o.state = 'works'), 0) as works,
        max(case when o.state = 'works' then o.lease_until end) as free_at,
        coalesce(max(o.state = 'works' and o.session is not null), 0) as has_proof,
        min(case when o.state = 'waiting' and (o.asked_for or s.enabled) then o.run_at end) as run_at
    from tierkeep_schedule s
        left join tierkeep_schedule_run o on o.task = s.name and o.state in ('waiting', 'works')
    where instr(',' || ?1 || ',', ',' || s.name || ',') > 0
    group by s.name, s.enabled, s.next_at)
