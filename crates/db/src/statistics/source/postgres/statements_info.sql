select
    dealloc as evictions,
    cast(extract(epoch from stats_reset) * 1000000 as bigint) as reset_us
from info
