-- Runs after $1, oldest first, as the chain needs them.
select id, command, case when isfinite(started_at) then cast(extract(epoch from started_at) * 1000000 as bigint) end, fence, plan, batches, rows, begun, chain
from tierkeep_run
where id > $1
order by id
limit $2
