-- What is derived from the rows, and which rows changed since.

-- One row. A learner's summaries are current only if their epoch is this one: raising it forgets all of them at once.
create table tierkeep_state (
    only_row boolean primary key default true,
    installation uuid not null default gen_random_uuid(),
    key_type text not null,
    time_zone text,
    day_start smallint,
    epoch bigint not null default 1,
    built_epoch bigint not null default 1
);
insert into tierkeep_state (key_type) values ('{key_type}');

-- A learner whose summaries are built, from which position of the change feed, and the days with study.
create table tierkeep_learner (
    user_id {key} primary key,
    epoch bigint not null default 0,
    position bigint not null default 0,
    zones text,
    active_days bytea not null default '',
    sessions bigint not null default 0
);

-- Day summaries, a calendar month of a learner to a row.
create table tierkeep_month (
    user_id {key} not null,
    month integer not null,
    days bytea not null,
    primary key (user_id, month)
);

-- Sums over all learners: a date's sessions and minutes, by kind (0 all, 1 environment, 2 device; 3 learners, day 0).
create table tierkeep_global (
    day integer not null,
    kind smallint not null,
    name text not null,
    sessions bigint not null,
    minutes bigint not null,
    primary key (day, kind, name)
);

-- Changes that are not folded into the summaries yet. No learner = all of them; a zone = the learner came with it or
-- moved to it ('' = none); neither zone nor span = the learner left.
create table tierkeep_outbox (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    user_id {key},
    first_start timestamptz,
    last_start timestamptz,
    zone text
);
create index tierkeep_outbox_user on tierkeep_outbox (user_id);
