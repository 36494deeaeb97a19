-- The global sums, with whether they hold every change: sums by kind and name, then single days. ?1 and ?2 first and
-- last of the single days.
select s.epoch = s.built_epoch and not exists (select 1 from tierkeep_outbox where settled = 0),
       g.kind, g.name, g.day, g.sessions, g.minutes
from tierkeep_state s
left join (
    select kind, name, null as day, sum(sessions) as sessions, sum(minutes) as minutes
    from tierkeep_global
    group by kind, name
    union all
    select kind, name, day, sessions, minutes
    from tierkeep_global
    where kind = 0 and day between ?1 and ?2
) g on true
