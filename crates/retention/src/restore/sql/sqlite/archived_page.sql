-- Archived rows that are to come back, a page. {places} come from checked identifiers. ?1 rows at most, ?2 run or owner, ?3 and
-- ?4 age and key of the last row before.
select cast(t.{key} as text), cast({age} as text), cast(t.{key} as text), cast(null as text)
from {table} as t
where {after} and {scope} and {span}
order by {age}, t.{key}
limit ?1
