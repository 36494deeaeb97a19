-- What would become of rows that are to come back. {places} come from checked identifiers. $1 the keys of where they are
-- kept, $2 run or owner.
select cast(o.{place} as text), {why}, cast({run} as bigint), cast({key_value} as text)
from {origin} as o
where o.{place} = any(cast(cast($1 as text[]) as {type}[])) and {scope}
