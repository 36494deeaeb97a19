-- The engine's own tables. Ids of rows are kept as text, so that tables with any kind of key can be looked after. Instants
-- are microseconds since 1970.

-- One row: who works, until when by the clock of the database, how often that changed hands, and whether all is to stop.
create table tierkeep_retention (
    only_row integer primary key not null default 1,
    holder text not null default '',
    -- when the holder took it
    since integer,
    until integer not null default 0,
    fence integer not null default 0,
    -- what proves that the holder lives: 1 if it holds the lock of the file beside the database. Null: nothing but until does
    session integer,
    -- no run works while there is a reason here: the switch for whoever has nothing but SQL at hand
    stop text
) strict;
insert into tierkeep_retention default values;

-- Every run that may write, with what it was to do and what it did.
create table tierkeep_run (
    id integer primary key autoincrement,
    command text not null,
    started_at integer not null default (cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000),
    -- null while it works; of one that was killed, when its successor noticed
    ended_at integer,
    ended text,
    reason text,
    fence integer not null,
    plan text not null,
    report text not null default '{}',
    -- what its batches come to, so that missing ones at the end show
    batches integer not null default 0,
    rows integer not null default 0,
    -- digest of its beginning, which names the end of the run before it; and of its last batch
    begun text not null default '',
    chain text not null default ''
) strict;

-- A batch that was committed. Each names the digest of the one before it, so that a removed or altered one shows. There is
-- no id of a row and no name in it.
create table tierkeep_run_batch (
    run_id integer not null,
    number integer not null,
    at integer not null default (cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000),
    rule text not null,
    rows integer not null,
    -- sum of the digests of the rows that left, and of those that arrived
    digest_left text,
    digest_arrived text,
    -- what the rule goes by, of the first and the last row, as it is written in the database
    first_age text,
    last_age text,
    chain text not null,
    primary key (run_id, number)
) strict, without rowid;

-- Rows that were taken out of the live tables: each column as SQL literal, by its name.
create table tierkeep_quarantine (
    id integer primary key autoincrement,
    run_id integer not null,
    kind text not null,
    source text not null,
    row_key text not null,
    owner text,
    quarantined_at integer not null default (cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000),
    content text not null
) strict;
create index tierkeep_quarantine_run on tierkeep_quarantine (run_id, id);
create index tierkeep_quarantine_row on tierkeep_quarantine (source, row_key);
create index tierkeep_quarantine_owner on tierkeep_quarantine (owner);

-- References that were turned from a row that was removed to the one that stays.
create table tierkeep_repointed (
    run_id integer not null,
    source text not null,
    row_key text not null,
    former text not null,
    survivor text not null,
    primary key (run_id, source, row_key)
) strict, without rowid;

-- Rows that were restored, and until when no rule applies to them.
create table tierkeep_exempt (
    source text not null,
    row_key text not null,
    until integer not null,
    primary key (source, row_key)
) strict, without rowid;
