-- Who may write for what: a number that rises whenever a task passes to another process.
create table tierkeep_fence (
    name text primary key,
    token integer not null
) strict;

-- The tasks. Instants are microseconds since 1970.
create table tierkeep_schedule (
    name text primary key,
    enabled integer not null,
    -- somebody has switched it: what the configuration says does not count any more
    switched integer not null default 0,
    -- what next_at was computed from
    timing text not null,
    zone text not null,
    -- null: never again
    next_at integer,
    succeeded_at integer,
    -- runs that failed since then
    failures integer not null default 0
) strict;

-- Every run: one that waits, works or has ended.
create table tierkeep_schedule_run (
    id integer primary key autoincrement,
    task text not null,
    -- the instant it runs for; of one that somebody asked for, when that was
    due integer not null,
    -- not before: due and some chance, or when it is tried again
    run_at integer not null,
    asked_for integer not null,
    -- somebody waits for it on one node: nobody else tries it
    only_here integer not null,
    -- waiting, works, done, failed, refused
    state text not null default 'waiting',
    attempts integer not null default 0,
    -- attempts that count against the retries: not those that were asked to stop
    failures integer not null default 0,
    -- that of the fence for its last attempt
    token integer,
    holder text,
    -- what proves that the holder lives: 1 if it has the lock of the task's file beside the database. Null: nothing but the
    -- lease does
    session integer,
    lease_until integer,
    -- of its last attempt
    started_at integer,
    ended_at integer,
    output text,
    error text
) strict;
-- A run for an instant exists once, whatever the clock does.
create unique index tierkeep_schedule_run_once on tierkeep_schedule_run (task, due) where not asked_for;
create index tierkeep_schedule_run_open on tierkeep_schedule_run (task) where state in ('waiting', 'works');
create index tierkeep_schedule_run_newest on tierkeep_schedule_run (task, id);
create index tierkeep_schedule_run_ended on tierkeep_schedule_run (task, ended_at) where state in ('done', 'failed', 'refused');
