-- {table} and {id} are checked identifiers. ?1 id.
delete from {table} where {id} = ?1
