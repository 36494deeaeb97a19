-- The keys of the rows that a rule is about. {places} come from checked identifiers.
select cast(t.{key} as text) from {table} as t where {condition} order by t.{key}
