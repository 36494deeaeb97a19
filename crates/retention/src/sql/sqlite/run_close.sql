-- Ends the runs that never said how they ended. Whoever has the lease knows that none of them works.
update tierkeep_run
set ended = 'crashed', ended_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, reason = 'it ended without saying why: killed, or cut off'
where ended_at is null
