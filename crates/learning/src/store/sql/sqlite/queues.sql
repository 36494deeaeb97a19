-- What waits, counted up to a bound: changes kept, learners and days with changes that are not folded, the age of the oldest of
-- those in microseconds, learners whose nightly rows are due. ?1 the bound.
select (select count(*) from (select 1 from tierkeep_outbox limit ?1)),
       w.learners,
       w.days,
       w.age,
       (select count(*) from (select 1 from tierkeep_analytics_due limit ?1))
from (
    select count(distinct c.key) as learners,
           count(distinct c.key || ' ' || coalesce(c.first / 86400000000, '')) as days,
           cast(unixepoch('subsec') * 1000000 as integer) - min(c.at) as age
    from (select key, first, at from tierkeep_outbox where settled = 0 limit ?1) c
) w
