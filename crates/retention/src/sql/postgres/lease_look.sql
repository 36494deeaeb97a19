-- Who has the lease.
select holder, stop, case when isfinite(since) then cast(extract(epoch from since) * 1000000 as bigint) end,
    case when isfinite(until) then cast(extract(epoch from until) * 1000000 as bigint) end
from tierkeep_retention
