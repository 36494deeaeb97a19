-- How many rows are kept that are to come back. {places} come from checked identifiers. $1 run or owner.
select count(*) from {table} as t where {scope}
