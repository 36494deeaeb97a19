-- {table} and {id} are checked identifiers. $1 ids.
delete from {table} where {id} = any($1::{key}[])
