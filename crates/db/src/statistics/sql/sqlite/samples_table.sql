create table if not exists tierkeep_table_sample (
    table_name text not null,
    at_us integer not null,
    row_count integer not null,
    byte_count integer not null,
    primary key (table_name, at_us)
) strict, without rowid
