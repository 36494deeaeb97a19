-- The rows that are to be deleted next, as they are exported. {places} come from checked identifiers. ?1 rows at most,
-- ?2 and ?3 age and key of the last row before.
select cast(t.{key} as text), cast({age} as text), {fields}
from {table} as t
where {after} and {condition}
order by {age}, t.{key}
limit ?1
