create table if not exists tierkeep_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    -- Microseconds since 1970.
    applied_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) strict
