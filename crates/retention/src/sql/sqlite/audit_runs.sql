-- Runs after ?1, oldest first, as the chain needs them.
select id, command, started_at, fence, plan, batches, rows, begun, chain
from tierkeep_run
where id > ?1
order by id
limit ?2
