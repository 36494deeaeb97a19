-- The rows of a batch that is to be deleted, as they are now. {places} come from checked identifiers. ?1 rows at
-- most, then age and key of the last row of the batch before, if there was one, then those of the last that was exported.
select cast(t.{key} as text), cast({age} as text), {fields}
from {table} as t
where {after} and {until} and {condition}
order by {age}, t.{key}
limit ?1
