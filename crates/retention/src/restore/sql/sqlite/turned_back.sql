-- How much would be turned back to a row. {places} come from checked identifiers. ?1 run, ?2 key of the row as text.
select count(*)
from tierkeep_repointed as r
join {table} as d on d.{key} = r.row_key and d.{reference} = r.survivor
where r.run_id = ?1 and r.former = ?2 and r.source in ({family})
