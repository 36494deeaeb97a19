-- Batches of run $1 after $2, as the chain needs them.
select run_id, number, case when isfinite(at) then cast(extract(epoch from at) * 1000000 as bigint) end, rule, rows, digest_left, digest_arrived, first_age,
    last_age, chain
from tierkeep_run_batch
where run_id = $1 and number > $2
order by number
limit $3
