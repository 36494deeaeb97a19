-- Runs that only their batches tell of.
select b.run_id, count(*)
from tierkeep_run_batch b
where not exists (select 1 from tierkeep_run r where r.id = b.run_id)
group by b.run_id
order by b.run_id
limit $1
