-- How many rows go with those of a rule, and by no rule of their own. {places} come from checked identifiers.
select count(*) from {table} as t where {condition}
