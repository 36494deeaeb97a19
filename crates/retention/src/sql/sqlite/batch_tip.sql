-- The end of the chain in run ?1 while it is under way, how many batches it has, and the time.
select chain, batches, cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000
from tierkeep_run
where id = ?1 and ended_at is null
