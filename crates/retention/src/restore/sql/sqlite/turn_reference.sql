-- Turns what was turned from a row back to it, in a column of one table, if it still names the row that stayed. {places} come
-- from checked identifiers. ?1 run, ?2 key of the row as text, ?3 as it is.
update {table} as d set {reference} = ?3
from tierkeep_repointed as r
where r.run_id = ?1 and r.former = ?2 and r.source in ({family}) and d.{key} = r.row_key and d.{reference} = r.survivor
