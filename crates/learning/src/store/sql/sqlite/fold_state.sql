-- Epoch and position that the fold will have reached.
select epoch, coalesce((select seq from sqlite_sequence where name = 'tierkeep_outbox'), 0), time_zone, day_start, mapping
from tierkeep_state
