-- Raises the position, unless another node has done so. $1 the position, $2 the mark of what changed, both read by a
-- statement before this one: whatever moved the mark to $2 has ended, or runs now. A snapshot does not list running
-- transactions that are younger than all that ended; those older than this one are noted by the first number, and
-- listed the next time, when this one has ended.
update tierkeep_feed f
set position = f.position + 1,
    mark = $2,
    pending = array(
        select x.id::text::bigint from pg_snapshot_xip(pg_current_snapshot()) as x (id)
        where f.mark <> $2 or x.id::text::bigint = any(f.pending) or x.id::text::bigint >= f.unlisted
    ),
    unlisted = case
        when f.mark <> $2 and pg_snapshot_xmax(pg_current_snapshot()) < pg_current_xact_id()
        then pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    end
where f.only_row and f.position = $1
returning f.position
