-- Quarantined rows that were turned from a row, and to which, and what puts one back. {places} come from checked identifiers.
-- ?1 run, ?2 key of the row as text.
select q.id, q.content, r.survivor
from tierkeep_repointed as r
join tierkeep_quarantine as q on q.row_key = r.row_key
where r.run_id = ?1 and r.former = ?2 and r.source in ({family}) and q.source in ({family});
update tierkeep_quarantine set content = ?2 where id = ?1
