-- Gives what has become visible its place in the order of the feed; a moved mark adds "everything". Another node that is at it
-- is waited for: a poll tells everything that was committed before it began. `position is null` once more: a row that was numbered since this snapshot keeps its number. Rows are
-- locked by id, as consumers that settle them do it, so that nobody waits in a circle.
with feed as materialized (
    select position, mark from tierkeep_feed for update
),
pending as materialized (
    select oldest.id, row_number() over (order by oldest.id) as nth
    from (
        select id from tierkeep_outbox
        where position is null and exists (select from feed)
        order by id
        limit $2
        for update
    ) as oldest
),
numbered as (
    update tierkeep_outbox as o
    set position = feed.position + pending.nth
    from pending, feed
    where o.id = pending.id and o.position is null
),
moved as (
    insert into tierkeep_outbox (position, source)
    select feed.position + (select count(*) from pending) + 1, ''
    from feed
    where feed.mark <> $1
    returning position
),
raised as (
    update tierkeep_feed as f
    set
        position = feed.position + (select count(*) from pending) + (select count(*) from moved),
        mark = coalesce($1, f.mark)
    from feed
    where exists (select from pending) or exists (select from moved)
)
select count(*) from pending
