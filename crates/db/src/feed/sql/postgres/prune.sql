-- A batch of settled events that are older than $1 microseconds or more than $2 positions back. An unnumbered one is
-- never among them: nobody has seen it.
with doomed as materialized (
    select o.id
    from tierkeep_outbox as o
    cross join tierkeep_feed as f
    where
        o.settled and o.position is not null
        and (o.at < clock_timestamp() - $1::bigint * interval '1 microsecond' or o.position <= f.position - $2::bigint)
    order by o.position
    limit 10000
),
gone as (
    delete from tierkeep_outbox as o using doomed where o.id = doomed.id returning o.position
),
raised as (
    update tierkeep_feed as f set floor = greatest(f.floor, (select max(position) from gone))
    where exists (select from gone)
)
select count(*) from gone
