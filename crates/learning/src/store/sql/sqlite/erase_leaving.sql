-- Learners whose leaving is not folded yet. ?1 how many. A text that is no UUID in lower case is the key of nobody.
select distinct o.key
from tierkeep_outbox o
where o.key is not null and o.source = 'users' and o.note is null and o.settled = 0
  and ('{key}' = 'integer' or (length(o.key) = 36 and o.key not glob '*[^0-9a-f-]*'))
  and not exists (select 1 from users u where u.id = o.key)
order by o.key
limit ?1
