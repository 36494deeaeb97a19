select
    f.floor,
    f.fingerprint,
    f.mark,
    coalesce((select s.seq from sqlite_sequence as s where s.name = 'tierkeep_outbox'), 1) as position,
    -- in the order of an index, or an analyzed outbox is read as a whole
    (select 1 from tierkeep_outbox where settled = 0 order by key limit 1) is not null as has_unsettled
from tierkeep_feed as f
