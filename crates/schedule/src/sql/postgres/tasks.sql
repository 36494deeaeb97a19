-- The tasks.
select name, enabled, timing, zone, cast(extract(epoch from next_at) * 1000000 as bigint), cast(extract(epoch from succeeded_at) * 1000000 as bigint), failures, switched
from tierkeep_schedule
