-- The number of the first row from one on, and the one behind the last. ?1 the first that is asked for.
select coalesce(min({rowid}), ?1), coalesce(max({rowid}), ?1 - 1) + 1 from {table} where {rowid} >= ?1
