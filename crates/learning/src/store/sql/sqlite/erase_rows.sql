-- Removes a learner's rows from a table. {table} and {owner} are checked identifiers. ?1 learner.
delete from {table} where {owner} = ?1
