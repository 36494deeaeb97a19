-- A task, for whoever is to do something about it; none if somebody else is at it.
select enabled, timing, zone, cast(extract(epoch from next_at) * 1000000 as bigint), cast(extract(epoch from clock_timestamp()) * 1000000 as bigint), switched
from tierkeep_schedule
where name = $1
for update skip locked
