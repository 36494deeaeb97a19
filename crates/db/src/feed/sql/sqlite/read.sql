select o.id, o.source, cast(o.key as text) as key, o.first, o.last, o.note
from tierkeep_outbox as o
where o.id > ?1
order by o.id
limit ?2
