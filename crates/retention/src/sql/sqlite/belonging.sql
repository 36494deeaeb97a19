-- Rows that belong to some others, as they are exported, and to which. {places} come from checked identifiers. ?1 the keys of
-- the others, as a JSON array.
select cast(t.{reference} as text), {fields}
from {table} as t
where t.{reference} in (select value from json_each(?1))
