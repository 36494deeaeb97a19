-- Who may write for what: a number that rises whenever a task passes to another process. Beside the lease, not in it, so that
-- a transaction that holds the fence does not keep its own process from renewing the lease.
create table tierkeep_fence (
    name text primary key,
    token bigint not null
);

-- The tasks.
create table tierkeep_schedule (
    name text primary key,
    enabled boolean not null,
    -- somebody has switched it: what the configuration says does not count any more
    switched boolean not null default false,
    -- what next_at was computed from
    timing text not null,
    zone text not null,
    -- null: never again
    next_at timestamptz,
    succeeded_at timestamptz,
    -- runs that failed since then
    failures bigint not null default 0
);

-- Every run: one that waits, works or has ended.
create table tierkeep_schedule_run (
    id bigint generated always as identity primary key,
    task text not null,
    -- the instant it runs for; of one that somebody asked for, when that was
    due timestamptz not null,
    -- not before: due and some chance, or when it is tried again
    run_at timestamptz not null,
    asked_for boolean not null,
    -- somebody waits for it on one node: nobody else tries it
    only_here boolean not null,
    -- waiting, works, done, failed, refused
    state text not null default 'waiting',
    attempts bigint not null default 0,
    -- attempts that count against the retries: not those that were asked to stop
    failures bigint not null default 0,
    -- that of the fence for its last attempt
    token bigint,
    holder text,
    -- what proves that the holder lives: its session has an advisory lock of this number. Null: nothing but the lease does
    session bigint,
    lease_until timestamptz,
    -- of its last attempt
    started_at timestamptz,
    ended_at timestamptz,
    output text,
    error text
);
-- A run for an instant exists once, whatever the clock does.
create unique index tierkeep_schedule_run_once on tierkeep_schedule_run (task, due) where not asked_for;
create index tierkeep_schedule_run_open on tierkeep_schedule_run (task) where state in ('waiting', 'works');
create index tierkeep_schedule_run_newest on tierkeep_schedule_run (task, id);
create index tierkeep_schedule_run_ended on tierkeep_schedule_run (task, ended_at) where state in ('done', 'failed', 'refused');
