-- What decides which stored values count: the epoch, whether every learner was built in it, whether anything of anybody
-- may have changed, and what days were counted with.
select epoch, epoch = built_epoch, exists (select 1 from tierkeep_outbox where key is null and settled = 0), time_zone, day_start
from tierkeep_state
