-- Which of some rows a rule still applies to, locked. {places} come from checked identifiers. $1 their keys.
select cast(t.{key} as text)
from {table} as t
where t.{key} = any(cast(cast($1 as text[]) as {type}[])) and {condition}
order by t.{key}
for update of t skip locked
