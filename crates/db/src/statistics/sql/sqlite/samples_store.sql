insert into tierkeep_table_sample (table_name, at_us, row_count, byte_count)
values (?1, ?2, ?3, ?4)
on conflict (table_name, at_us) do update
set row_count = excluded.row_count, byte_count = excluded.byte_count
