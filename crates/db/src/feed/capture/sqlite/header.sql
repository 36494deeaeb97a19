select
    f.floor,
    f.fingerprint,
    f.mark,
    coalesce((select s.seq from sqlite_sequence as s where s.name = 'tierkeep_outbox'), 1) as position,
    exists (select 1 from tierkeep_outbox where settled = 0) as has_unsettled
from tierkeep_feed as f
