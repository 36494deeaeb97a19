-- Which of some rows a rule still applies to. {places} come from checked identifiers. ?1 their keys, as a JSON array.
select cast(t.{key} as text)
from {table} as t
where t.{key} in (select value from json_each(?1)) and {condition}
order by t.{key}
