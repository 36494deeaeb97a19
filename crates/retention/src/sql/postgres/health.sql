-- How the database is, in one row. $1: tables, $2: process numbers of our own sessions. Takes no locks on the tables.
with recursive own (pid) as (
    select o.pid from unnest($2::integer[]) as o (pid)
    union
    select pg_backend_pid()
),
named (name, oid) as (
    select n.name, to_regclass(n.name)::oid from unnest($1::text[]) as n (name)
),
tables (oid) as (
    select oid from named where oid is not null
    union
    select i.inhrelid from tables as t join pg_inherits as i on i.inhparent = t.oid
),
log (lsn) as (
    select case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end
),
-- Those who only copy the log, such as pg_receivewal, apply nothing: of them counts what they have written. One that
-- makes a base backup is no replica. Without the right to see it, all but the name is null.
replicas as (
    select
        r.pid,
        coalesce(r.application_name, '') as name,
        r.state is null as is_hidden,
        pg_wal_lsn_diff(log.lsn, coalesce(r.replay_lsn, r.write_lsn))::bigint as bytes,
        extract(epoch from case when r.replay_lsn is null then r.write_lag else r.replay_lag end)::double precision
            as seconds
    from pg_stat_replication as r
    cross join log
    where r.state is distinct from 'backup'
),
-- The lease is an advisory lock: whoever waits for that is another run.
waiting as materialized (
    select distinct l.pid
    from pg_locks as l
    where not l.granted and l.locktype <> 'advisory' and l.pid not in (select own.pid from own)
),
archive as (
    select
        coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time is not null) as is_failing,
        a.last_archived_wal as name,
        pg_size_bytes(current_setting('wal_segment_size')) as segment_bytes
    from pg_stat_archiver as a
    where current_setting('archive_mode') <> 'off'
),
-- A segment's name is timeline, high half and low half of its number, each in eight hexadecimal digits.
queue as (
    select
        div(pg_wal_lsn_diff(log.lsn, '0/0'), a.segment_bytes)
        - ('x' || substr(a.name, 9, 8))::bit(32)::bigint * (4294967296 / a.segment_bytes)
        - ('x' || substr(a.name, 17, 8))::bit(32)::bigint - 1 as segments
    from archive as a
    cross join log
    where a.name ~ '^[0-9A-F]{24}'
),
sessions as (
    select
        count(*) filter (where s.state = 'active') as active,
        count(*) filter (where s.query = '<insufficient privilege>' or s.state = 'disabled') as hidden
    from pg_stat_activity as s
    where
        s.usesysid is not null and s.pid not in (select own.pid from own)
        and (s.backend_type = 'client backend' or s.query = '<insufficient privilege>')
)
select
    array(select r.name from replicas as r where not r.is_hidden order by r.pid) as replica_names,
    array(select r.bytes from replicas as r where not r.is_hidden order by r.pid) as replica_bytes,
    array(select r.seconds from replicas as r where not r.is_hidden order by r.pid) as replica_seconds,
    (select count(*) from replicas as r where r.is_hidden) as replicas_hidden,
    (
        select count(*) from waiting as w
        where pg_blocking_pids(w.pid) && array(select own.pid from own)
    ) as waiters,
    coalesce((select a.is_failing from archive as a), false) as archive_is_failing,
    coalesce((select greatest(q.segments, 0) from queue as q), 0)::bigint as archive_segments,
    (
        select coalesce(max(greatest(pg_wal_lsn_diff(log.lsn, s.restart_lsn), 0)), 0)::bigint
        from pg_replication_slots as s
        cross join log
        where s.wal_status is distinct from 'lost'
    ) as slot_bytes,
    s.active as sessions_active,
    s.hidden as sessions_hidden,
    current_setting('max_connections')::bigint as max_connections,
    -- Vacuum, analyse and building an index beside writers take this lock, by hand or not; every role may see it.
    exists (
        select from pg_locks as l
        join tables as t on t.oid = l.relation
        where
            l.mode = 'ShareUpdateExclusiveLock' and l.granted and l.pid not in (select own.pid from own)
            and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    ) as is_vacuumed,
    -- The functions below the statistics views: a view would count the rows of every table there is.
    array(select coalesce(pg_stat_get_live_tuples(t.oid), 0) from tables as t order by t.oid) as rows_live,
    array(select coalesce(pg_stat_get_dead_tuples(t.oid), 0) from tables as t order by t.oid) as rows_dead,
    array(select n.name from named as n where n.oid is null) as tables_missing
from sessions as s
