create table if not exists tierkeep_statement (
    text text primary key,
    calls integer not null,
    total_ms real not null,
    min_ms real not null,
    max_ms real not null,
    squares real not null
) strict, without rowid;
create table if not exists tierkeep_statement_log (
    id integer primary key check (id = 1),
    since_us integer not null,
    evictions integer not null
) strict;
insert into tierkeep_statement_log (id, since_us, evictions)
values (1, cast(unixepoch('subsec') * 1000000 as integer), 0)
on conflict (id) do nothing
