-- The rows of a batch that is to be deleted, locked, as they are now. {places} come from checked identifiers. $1 rows at
-- most, $2 and $3 age and key of the last row of the batch before, $4 and $5 of the last row that was exported; where the first two
-- are not needed, those are $2 and $3.
select cast(t.{key} as text), cast({age} as text), {fields}
from {table} as t
where {after} and {until} and {condition}
order by {age}, t.{key}
limit $1
for update of t skip locked
