-- Moves a batch, inside the transaction that has the write lock: remembers which rows, copies them, deletes them; what arrived
-- and what left tell their digests. {places} come from checked identifiers. ?1 rows at most, ?2 run, ?3 and ?4 age and key of
-- the last row before. A row that is there already cannot go there; it is for another rule.
create table if not exists temp.tierkeep_pick (place integer primary key, key, age);
delete from temp.tierkeep_pick;
insert into temp.tierkeep_pick (place, key, age)
select t.{rowid}, t.{key}, {age}
from {table} as t
where {after} and {condition}
    and not exists (select 1 from {into} as a where a.{into_key} = t.{key})
order by {age}, t.{key}
limit ?1;
insert into {into} ({columns}, {by}, {at})
select {columns}, ?2, cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000
from {table}
where {rowid} in (select place from temp.tierkeep_pick)
returning tierkeep_digest({columns});
delete from {table}
where {rowid} in (select place from temp.tierkeep_pick)
returning tierkeep_digest({columns});
select
    (select cast(min(pick.age) as text) from temp.tierkeep_pick as pick),
    (select cast(max(pick.age) as text) from temp.tierkeep_pick as pick),
    (select cast(pick.key as text) from temp.tierkeep_pick as pick order by pick.age desc, pick.key desc limit 1)
