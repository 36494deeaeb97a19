-- What is derived from the rows, and which rows changed since.

-- One row. A learner's summaries are current only if their epoch is this one: raising it forgets all of them at once.
create table tierkeep_state (
    only_row integer primary key not null default 1,
    installation text not null default (lower(hex(randomblob(16)))),
    key_type text not null,
    time_zone text,
    day_start integer,
    epoch integer not null default 1,
    built_epoch integer not null default 1
) strict;
insert into tierkeep_state (key_type) values ('{key_type}');

-- A learner whose summaries are built, from which position of the change feed, and the days with study.
create table tierkeep_learner (
    user_id {key} primary key not null,
    epoch integer not null default 0,
    position integer not null default 0,
    zones text,
    active_days blob not null default x'',
    sessions integer not null default 0
) strict;

-- Day summaries, a calendar month of a learner to a row.
create table tierkeep_month (
    user_id {key} not null,
    month integer not null,
    days blob not null,
    primary key (user_id, month)
) strict, without rowid;

-- Sums over all learners: a date's sessions and minutes, by kind (0 all, 1 environment, 2 device; 3 learners, day 0).
create table tierkeep_global (
    day integer not null,
    kind integer not null,
    name text not null,
    sessions integer not null,
    minutes integer not null,
    primary key (day, kind, name)
) strict, without rowid;

-- Changes that are not folded into the summaries yet. No learner = all of them; a zone = the learner came with it or
-- moved to it ('' = none); neither zone nor span = the learner left.
create table tierkeep_outbox (
    id integer primary key autoincrement,
    -- whole milliseconds, in words that the SQLite of any program that writes here knows (unixepoch('subsec') came in 3.42)
    at integer not null default (
        cast(strftime('%s', 'now') as integer) * 1000000 + cast(substr(strftime('%f', 'now'), 4, 3) as integer) * 1000
    ),
    user_id {key},
    first_start integer,
    last_start integer,
    zone text
) strict;
create index tierkeep_outbox_user on tierkeep_outbox (user_id);
