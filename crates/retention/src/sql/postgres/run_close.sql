-- Ends the runs that never said how they ended. Whoever has the lease knows that none of them works.
update tierkeep_run
set ended = 'crashed', ended_at = clock_timestamp(), reason = 'it ended without saying why: killed, or cut off'
where ended_at is null
