-- One row that is to come back, inside the transaction that has the write lock: reads it, writes it, takes it away where it was
-- kept, spares it, and reads it where it is now. {places} come from checked identifiers.
select {kept} from {origin} as o where o.{place} = ?1 and {scope};
insert into {table} ({columns}) values ({values});
delete from {origin} where {place} = ?1;
insert into tierkeep_exempt (source, row_key, until) values ({source}, ?1, ?2)
on conflict (source, row_key) do update set until = max(until, excluded.until);
select {columns} from {table} where {key} = ?1
