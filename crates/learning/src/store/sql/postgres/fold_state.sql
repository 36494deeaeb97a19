-- Epoch and position that the fold will have reached: read after the locks and before the changes and the rows.
select epoch, pg_snapshot_xmin(pg_current_snapshot())::text::bigint, now(), time_zone, day_start, mapping
from tierkeep_state
