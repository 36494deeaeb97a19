-- The number of the first row of a table, and the one behind its last.
select coalesce(min({rowid}), 0), coalesce(max({rowid}), -1) + 1 from {table}
