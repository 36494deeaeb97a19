-- Rows that belong to some others, as they are exported, and to which. {places} come from checked identifiers. $1 the keys of
-- the others.
select cast(t.{reference} as text), {fields}
from {table} as t
where t.{reference} = any(cast(cast($1 as text[]) as {type}[]))
