-- The engine's own tables. Ids of rows are kept as text, so that tables with any kind of key can be looked after.

-- One row: who works, until when by the clock of the database, how often that changed hands, and whether all is to stop.
create table tierkeep_retention (
    only_row boolean primary key default true,
    holder text not null default '',
    -- when the holder took it
    since timestamptz,
    until timestamptz not null default '-infinity',
    fence bigint not null default 0,
    -- what proves that the holder lives: the number of its session, which holds an advisory lock of that number. Null:
    -- nothing but until does
    session integer,
    -- no run works while there is a reason here: the switch for whoever has nothing but SQL at hand
    stop text
);
insert into tierkeep_retention default values;

-- Every run that may write, with what it was to do and what it did.
create table tierkeep_run (
    id bigint generated always as identity primary key,
    command text not null,
    started_at timestamptz not null default clock_timestamp(),
    -- null while it works; of one that was killed, when its successor noticed
    ended_at timestamptz,
    ended text,
    reason text,
    fence bigint not null,
    plan text not null,
    report text not null default '{}',
    -- what its batches come to, so that missing ones at the end show
    batches bigint not null default 0,
    rows bigint not null default 0,
    -- digest of its beginning, which names the end of the run before it; and of its last batch
    begun text not null default '',
    chain text not null default ''
);

-- A batch that was committed. Each names the digest of the one before it, so that a removed or altered one shows. There is
-- no id of a row and no name in it.
create table tierkeep_run_batch (
    run_id bigint not null,
    number bigint not null,
    at timestamptz not null default clock_timestamp(),
    rule text not null,
    rows bigint not null,
    -- sum of the digests of the rows that left, and of those that arrived
    digest_left text,
    digest_arrived text,
    -- what the rule goes by, of the first and the last row, as it is written in the database
    first_age text,
    last_age text,
    chain text not null,
    primary key (run_id, number)
);

-- Rows that were taken out of the live tables: each column as text, by its name.
create table tierkeep_quarantine (
    id bigint generated always as identity primary key,
    run_id bigint not null,
    kind text not null,
    source text not null,
    row_key text not null,
    owner text,
    quarantined_at timestamptz not null default clock_timestamp(),
    content jsonb not null
);
create index tierkeep_quarantine_run on tierkeep_quarantine (run_id, id);
create index tierkeep_quarantine_row on tierkeep_quarantine (source, row_key);
create index tierkeep_quarantine_owner on tierkeep_quarantine (owner);

-- References that were turned from a row that was removed to the one that stays.
create table tierkeep_repointed (
    run_id bigint not null,
    source text not null,
    row_key text not null,
    former text not null,
    survivor text not null,
    primary key (run_id, source, row_key)
);

-- Rows that were restored, and until when no rule applies to them.
create table tierkeep_exempt (
    source text not null,
    row_key text not null,
    until timestamptz not null,
    primary key (source, row_key)
);
