-- Who has the lease.
select holder, stop, since, until
from tierkeep_retention
