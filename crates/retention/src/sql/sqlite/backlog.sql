-- The oldest row that a rule is about, in microseconds since 1970. {places} come from checked identifiers.
select {age}
from {table} as t
where {condition}
order by {age}
limit 1
