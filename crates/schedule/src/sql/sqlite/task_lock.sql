-- A task, which stays as it is until the transaction ends. All that changes its runs begins here.
select enabled, timing, zone, next_at, cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, switched
from tierkeep_schedule
where name = ?1
