-- Turns what refers to a duplicate to the row that stays, and takes note of it. {places} come from checked identifiers. ?1 the
-- duplicate, ?2 the row that stays, ?3 run.
insert into tierkeep_repointed (run_id, source, row_key, former, survivor)
select ?3, {source}, cast({key} as text), cast(?1 as text), cast(?2 as text)
from {table}
where {reference} = ?1
on conflict (run_id, source, row_key) do update set survivor = excluded.survivor;
update {table} set {reference} = ?2 where {reference} = ?1;
select {survivor}, t.{duplicate} from {duplicates} as t where t.{rowid} = ?1
