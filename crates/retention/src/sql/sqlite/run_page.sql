-- Runs from ?1 downwards, newest first, without those of the command ?3. One without an end works if the lease is of its fence.
select r.id, r.command, r.started_at, r.ended_at, r.ended, r.reason, r.plan, r.report, r.batches, r.rows,
    exists (
        select 1
        from tierkeep_retention l
        where l.fence = r.fence and l.holder <> ''
            and l.until > cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000)
from tierkeep_run r
where r.id <= ?1 and (?3 is null or r.command <> ?3)
order by r.id desc
limit ?2
