-- The rows of a batch that go into quarantine, and how. {places} come from checked identifiers. ?1 rows at most, ?2 first
-- and ?3 end of the rows that are looked at.
select t.{rowid}, {kind}, cast(t.{key} as text), {owner}, {columns}
from {table} as t
where t.{rowid} >= ?2 and t.{rowid} < ?3 and {condition}
limit ?1;
insert into tierkeep_quarantine (run_id, kind, source, row_key, owner, content) values (?1, ?2, {source}, ?3, ?4, ?5);
delete from {table} where {rowid} = ?1
