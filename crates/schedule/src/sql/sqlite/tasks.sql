-- The tasks.
select name, enabled, timing, zone, next_at, succeeded_at, failures, switched
from tierkeep_schedule
