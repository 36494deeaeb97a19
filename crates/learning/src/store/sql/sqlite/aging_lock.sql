-- Whether a row is archived; the transaction holds the write lock. {table} and {id} are checked identifiers. ?1 id.
select {id} from {table} where {id} = ?1
