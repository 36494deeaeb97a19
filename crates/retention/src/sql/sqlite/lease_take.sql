-- Takes the lease for ?1 and ?2 microseconds, if nobody has it, if its time is over, or if its holder is gone: ?3 says that
-- the lock of the file is ours, so whoever had it at last has not.
update tierkeep_retention
set holder = ?1,
    since = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000,
    until = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 + ?2,
    fence = fence + 1,
    session = case when ?3 then 1 end
where stop is null
    and (holder = ''
        or until <= cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000
        or (?3 and session is not null))
returning holder, fence
