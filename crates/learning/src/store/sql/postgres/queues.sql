-- What waits, counted up to a bound: changes kept, learners and days with changes that are not folded, the age of the oldest of
-- those in microseconds, learners whose nightly rows are due. $1 the bound.
select (select count(*) from (select from tierkeep_outbox limit $1) o),
       w.learners,
       w.days,
       w.age,
       (select count(*) from (select from tierkeep_analytics_due limit $1) d)
from (
    select count(distinct c.key) as learners,
           count(distinct (c.key, date_trunc('day', c.first at time zone 'UTC'))) as days,
           (extract(epoch from clock_timestamp() - min(c.at)) * 1000000)::bigint as age
    from (select key, first, at from tierkeep_outbox where not settled limit $1) c
) w
