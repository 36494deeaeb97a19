-- A platform with nothing of the expected width: small keys, wide numbers, scores in binary floating point, instants
-- without a zone (UTC by the application's custom), nulls where others have values, and no courses worth the name.
create table person (id integer primary key, tz text);
create table sitting (
    id integer primary key,
    person integer,
    started timestamp,
    ended timestamp,
    minutes bigint,
    stars integer,
    focus double precision,
    breaks bigint,
    place text
);
create table course (id smallint primary key, person smallint, content uuid);
