-- One snapshot: where the feed stands, what is known of the triggers, and the events after $1. Never writes.
with recursive relations (oid) as (
    select to_regclass(w.name)::oid from unnest($3::text[]) as w (name)
    union
    select i.inhrelid from relations as r join pg_inherits as i on i.inhparent = r.oid
),
-- Moves when anything happened after which writes may have gone unnoticed.
present as materialized (
    select
        hashtextextended(
            concat_ws(
                ' ',
                -- changes when the outbox is emptied by hand
                pg_relation_filenode('tierkeep_outbox'),
                cast(extract(epoch from pg_postmaster_start_time()) * 1000000 as bigint),
                string_agg(concat_ws(',', r.oid, t.oid, t.xmin, p.oid, p.xmin), ' ' order by r.oid, t.oid),
                -- a column that was dropped, renamed or rewritten: no trigger tells of that
                (
                    select string_agg(concat_ws(',', a.attrelid, a.attnum, a.attname, a.xmin), ' ' order by a.attrelid, a.attnum)
                    from unnest($4::text[], $5::text[]) as w (name, column_name)
                    join pg_attribute as a
                        on a.attrelid = to_regclass(w.name) and a.attname = w.column_name and not a.attisdropped
                )
            ), 0
        )::text as mark
    from relations as r
    left join pg_trigger as t
        on
            t.tgrelid = r.oid
            and t.tgname in ('tierkeep_insert', 'tierkeep_update', 'tierkeep_delete', 'tierkeep_truncate')
    left join pg_proc as p on p.oid = t.tgfoid
)
select
    f.position,
    f.floor,
    f.fingerprint,
    -- A crash or a failover may undo numbers that were given by commits that were asynchronous: with the same positions
    -- given anew, a cursor of before means nothing.
    hashint8extended(
        cast(extract(epoch from pg_postmaster_start_time()) * 1000000 as bigint), f.tableoid::bigint
    ) & 9223372036854775807 as epoch,
    present.mark,
    f.mark = present.mark as is_mark_known,
    -- In the order of an index: without, the planner reads the whole outbox wherever it was last analyzed while most of it
    -- was waiting, since it then expects a hit in the first row.
    (select true from tierkeep_outbox where position is null order by id limit 1) is not null as has_pending,
    (select true from tierkeep_outbox where not settled order by key limit 1) is not null as has_unsettled,
    current_setting('transaction_read_only') = 'on' as is_read_only,
    case when lost.is_called then lost.last_value else 0 end as lost,
    e.position as event_position,
    e.source,
    e.key,
    e.first,
    e.last,
    e.note
from tierkeep_feed as f
cross join present
cross join tierkeep_feed_lost as lost
left join lateral (
    select o.position, o.source, o.key::text as key, o.first, o.last, o.note
    from tierkeep_outbox as o
    where o.position > $1 and o.position <= f.position
    order by o.position
    limit $2
) as e on true
order by e.position
