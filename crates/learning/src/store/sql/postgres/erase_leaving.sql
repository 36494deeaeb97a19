-- Learners whose leaving is not folded yet. $1 how many.
select distinct o.key
from tierkeep_outbox o
where o.key is not null and o.source = 'users' and o.note is null and not o.settled
  and not exists (select from users u where u.id = o.key)
order by o.key
limit $1
