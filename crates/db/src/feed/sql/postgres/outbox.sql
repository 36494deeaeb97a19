-- The tables of the feed. One of that name that somebody else made is refused, not used.
do $tierkeep$
declare
    expected record;
    columns text;
begin
    for expected in
        select * from (values
            ('tierkeep_outbox', 'id bigint, position bigint, at timestamp with time zone, source text, key {type}, first timestamp with time zone, last timestamp with time zone, note text, settled boolean'),
            ('tierkeep_feed', 'only_row boolean, position bigint, floor bigint, mark text, fingerprint text, most_bytes bigint')
        ) as tables (name, columns)
    loop
        select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
        into columns
        from pg_attribute as a
        where
            a.attrelid = to_regclass(quote_ident(current_schema()) || '.' || expected.name)
            and a.attnum > 0 and not a.attisdropped;
        if columns <> expected.columns then
            raise exception 'the table %.% is not one of this feed: it has (%), expected is (%)',
                current_schema(), expected.name, columns, expected.columns
                using errcode = 'duplicate_table';
        end if;
    end loop;
    -- What was in a table that is gone is unknown.
    if
        to_regclass(quote_ident(current_schema()) || '.tierkeep_feed') is not null
        and (
            to_regclass(quote_ident(current_schema()) || '.tierkeep_outbox') is null
            or to_regclass(quote_ident(current_schema()) || '.tierkeep_feed_lost') is null
        )
    then
        update tierkeep_feed set fingerprint = '';
    end if;
end
$tierkeep$;

create table if not exists tierkeep_outbox (
    id bigint generated always as identity primary key,
    -- null until its transaction has committed and somebody numbered it
    position bigint,
    at timestamptz not null default clock_timestamp(),
    -- '' is everything of every source
    source text not null,
    -- null is anybody
    key {type},
    first timestamptz,
    last timestamptz,
    note text,
    -- its consumer has taken it into account
    settled boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

create index if not exists tierkeep_outbox_position on tierkeep_outbox (position) where position is not null;
create index if not exists tierkeep_outbox_unsettled on tierkeep_outbox (key) where not settled;
create index if not exists tierkeep_outbox_pending on tierkeep_outbox (id) where position is null;

create table if not exists tierkeep_feed (
    only_row boolean primary key default true,
    position bigint not null default 1,
    floor bigint not null default 1,
    mark text not null default '',
    fingerprint text not null default '',
    -- how large the outbox may grow while nobody prunes it
    most_bytes bigint not null default 1073741824
);

-- If only this table was lost, positions go on.
insert into tierkeep_feed (position, floor)
select coalesce(max(position), 1), coalesce(max(position), 1) from tierkeep_outbox
on conflict do nothing;

-- Moved by a write that could not be noted; what moves a sequence stays moved whatever becomes of the transaction.
create sequence if not exists tierkeep_feed_lost;

-- Where nobody prunes, writers do, one in about a thousand: the oldest events become an "everything". A row takes some 200
-- bytes with its indexes. Beside the size of the files, which deleted rows still fill, the span of the ids must say so.
create or replace function tierkeep_bound_outbox() returns void
language plpgsql set search_path from current as $$
declare
    excess bigint;
begin
    if pg_total_relation_size('tierkeep_outbox') < (select most_bytes from tierkeep_feed) then
        return;
    end if;
    select (select max(id) from tierkeep_outbox) - (select min(id) from tierkeep_outbox) - most_bytes / 200
    into excess
    from tierkeep_feed;
    if excess > 0 then
        delete from tierkeep_outbox
        where id in (
            select id from tierkeep_outbox order by id limit least(excess + 5000, 200000) for update skip locked
        );
        insert into tierkeep_outbox (source) values ('');
    end if;
end
$$
