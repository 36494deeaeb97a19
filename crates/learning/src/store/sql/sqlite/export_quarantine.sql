-- A learner's quarantined rows in the order of their ids. ?1 learner, ?2 first id, ?3 how many.
select id, run_id, kind, source, content
from tierkeep_quarantine
where owner = cast(?1 as text) and id >= ?2
order by id
limit ?3
