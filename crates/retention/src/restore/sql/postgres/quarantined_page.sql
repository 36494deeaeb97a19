-- Quarantined rows that are to come back, a page, the newest first, each with the names of its columns. {places} come from
-- checked identifiers. $1 rows at most, $2 run or owner, $3 the last row before.
select cast(t.id as text), cast(null as text), t.row_key,
    (select cast(jsonb_agg(name order by name) as text) from jsonb_object_keys(t.content) as name)
from tierkeep_quarantine as t
where {after} and {scope} and t.source = {source}
order by t.id desc
limit cast($1 as bigint)
