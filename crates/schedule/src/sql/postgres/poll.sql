-- When each of the tasks $1 (names with commas between them) wants attention, and whether somebody had to look if the
-- holder of its run still lives. While a run works nothing else of its task begins.
select s.name,
    cast(extract(epoch from case when r.works then r.free_at else least(case when s.enabled then s.next_at end, r.run_at) end) * 1000000 as bigint),
    cast(extract(epoch from clock_timestamp()) * 1000000 as bigint),
    false
from tierkeep_schedule s
    cross join lateral (
        select coalesce(bool_or(o.state = 'works'), false) as works,
            max(case when o.state = 'works' then case when o.session is not null and not exists (
                select 1
                from pg_locks l
                where l.locktype = 'advisory' and l.classid = 1953198947 and l.objid::bigint = o.session and l.objsubid = 2
                    and l.pid = o.session and l.granted)
                then o.started_at else o.lease_until end end) as free_at,
            min(case when o.state = 'waiting' and (o.asked_for or s.enabled) then o.run_at end) as run_at
        from tierkeep_schedule_run o
        where o.task = s.name and o.state in ('waiting', 'works')) r
where s.name = any(string_to_array($1, ','))
