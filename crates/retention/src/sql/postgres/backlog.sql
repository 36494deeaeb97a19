-- The oldest row that a rule is about, in microseconds since 1970; null if it is older than any instant. {places} come from
-- checked identifiers.
select case when isfinite({age}) then cast(extract(epoch from {age}) * 1000000 as bigint) end
from {table} as t
where {condition}
order by {age}
limit 1
