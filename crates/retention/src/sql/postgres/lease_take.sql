-- Takes the lease for $1 and $2 microseconds, if nobody has it, if its time is over, or if the session of its holder is gone.
-- Whoever waits for the row, because the batch of a former holder is in flight, looks at it anew.
update tierkeep_retention
set holder = $1 || coalesce(' at ' || host(inet_client_addr()), '') || ', session ' || pg_backend_pid(),
    since = clock_timestamp(),
    until = clock_timestamp() + $2::bigint * interval '1 microsecond',
    fence = fence + 1,
    -- the lock is there before anybody can see the row; nobody else asks for the one of our number
    session = case when pg_try_advisory_lock(1953198708, pg_backend_pid()) then pg_backend_pid() end
where stop is null
    and (holder = ''
        or until <= clock_timestamp()
        or (session is not null
            and not exists (
                select 1
                from pg_locks l
                where l.locktype = 'advisory' and l.classid = 1953198708 and l.objid = session and l.objsubid = 2
                    and l.pid = session and l.granted)))
returning holder, fence
