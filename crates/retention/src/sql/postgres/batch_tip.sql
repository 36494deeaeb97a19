-- The end of the chain in run $1 while it is under way, how many batches it has, and the time.
select chain, batches, cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)
from tierkeep_run
where id = $1 and ended_at is null
