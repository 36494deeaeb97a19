create table if not exists tierkeep_table_sample (
    table_name text not null,
    at_us bigint not null,
    row_count bigint not null,
    byte_count bigint not null,
    primary key (table_name, at_us)
)
