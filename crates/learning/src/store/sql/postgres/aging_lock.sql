-- Locks archived rows that nobody else has locked. {table} and {id} are checked identifiers. $1 ids.
select {id} from {table} where {id} = any($1::{key}[]) order by {id} for update skip locked
