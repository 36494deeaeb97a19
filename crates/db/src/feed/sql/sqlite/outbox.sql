create table if not exists tierkeep_feed (
    only_row integer primary key not null default 1,
    position integer not null default 1,
    floor integer not null default 1,
    mark text not null default '',
    fingerprint text not null default '',
    -- how large the outbox may grow while nobody prunes it
    most_bytes integer not null default 1073741824
) strict;

insert or ignore into tierkeep_feed (only_row) values (1);

-- What was in a table that is gone is unknown.
update tierkeep_feed
set fingerprint = ''
where not exists (select 1 from sqlite_schema where name = 'tierkeep_outbox');

create table if not exists tierkeep_outbox (
    -- The position itself: a single writer commits in the order of its ids.
    id integer primary key autoincrement,
    position integer generated always as (id) virtual,
    at integer not null default (cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000),
    -- '' is everything of every source
    source text not null,
    -- null is anybody
    key {type},
    first integer,
    last integer,
    note text,
    -- its consumer has taken it into account
    settled integer not null default 0
) strict;

create index if not exists tierkeep_outbox_unsettled on tierkeep_outbox (key) where settled = 0;

-- A row in it keeps the triggers from noting. Nobody but the transaction that puts it there sees it, which takes it away again.
create table if not exists tierkeep_feed_quiet (
    only_row integer primary key check (only_row = 1),
    is_over integer not null default 0
) strict;

-- Positions start as those of PostgreSQL do: 1 is the beginning, the first event is 2.
insert into sqlite_sequence (name, seq)
select 'tierkeep_outbox', floor from tierkeep_feed
where not exists (select 1 from sqlite_sequence where name = 'tierkeep_outbox');

-- Where nobody prunes, every thousandth event does: the oldest become an "everything". A row takes some 100 bytes.
create trigger if not exists tierkeep_bound after insert on tierkeep_outbox
when new.id % 1000 = 0
    and new.id - (select min(id) from tierkeep_outbox) > (select most_bytes / 100 from tierkeep_feed)
begin
    delete from tierkeep_outbox where id < new.id - (select most_bytes / 100 from tierkeep_feed) + 1000;
    insert into tierkeep_outbox (source) values ('');
end;

-- A row that was left there kept others from noting, nobody knows for how long.
create trigger if not exists tierkeep_loud after delete on tierkeep_feed_quiet
when old.is_over = 0
begin
    insert into tierkeep_outbox (source) values ('');
end
