-- A part of turn_back.sql: a column of quarantined rows. {places} come from checked identifiers.
update tierkeep_quarantine as q set content = jsonb_set(q.content, array[{name}], to_jsonb(r.former))
from back as r where {still_names} returning 1
