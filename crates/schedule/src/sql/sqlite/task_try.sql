-- A task, for whoever is to do something about it.
select enabled, timing, zone, next_at, cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000, switched
from tierkeep_schedule
where name = ?1
