-- All that is visible becomes one "everything". No table is locked: writers go on, what they commit meanwhile stays.
with feed as materialized (
    select position from tierkeep_feed for update
),
gone as (
    delete from tierkeep_outbox where exists (select from feed)
),
everything as (
    insert into tierkeep_outbox (position, source) select position + 1, '' from feed
)
update tierkeep_feed as f set floor = feed.position, position = feed.position + 1 from feed
