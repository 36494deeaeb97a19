-- Runs from $1 downwards, newest first, without those of the command $3. One without an end works if the lease is of its fence.
select r.id, r.command, cast(extract(epoch from r.started_at) * 1000000 as bigint), cast(extract(epoch from r.ended_at) * 1000000 as bigint), r.ended, r.reason, r.plan, r.report,
    r.batches, r.rows,
    exists (select 1 from tierkeep_retention l where l.fence = r.fence and l.holder <> '' and l.until > clock_timestamp())
from tierkeep_run r
where r.id <= $1 and (cast($3 as text) is null or r.command <> cast($3 as text))
order by r.id desc
limit $2
