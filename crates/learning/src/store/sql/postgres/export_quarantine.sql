-- A learner's quarantined rows in the order of their ids. $1 learner, $2 first id, $3 how many.
select id, run_id, kind, source, content::text
from tierkeep_quarantine
where owner = $1::{key}::text and id >= $2
order by id
limit $3
