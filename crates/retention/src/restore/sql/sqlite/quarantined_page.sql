-- Quarantined rows that are to come back, a page, the newest first. {places} come from checked identifiers. ?1 rows at most, ?2 run or
-- owner, ?3 the last row before.
select cast(t.id as text), cast(null as text), t.row_key, cast(null as text)
from tierkeep_quarantine as t
where {after} and {scope} and t.source = {source}
order by t.id desc
limit ?1
