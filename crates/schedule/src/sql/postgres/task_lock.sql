-- A task, which stays as it is until the transaction ends. All that changes its runs begins here.
select enabled, timing, zone, cast(extract(epoch from next_at) * 1000000 as bigint), cast(extract(epoch from clock_timestamp()) * 1000000 as bigint), switched
from tierkeep_schedule
where name = $1
for update
