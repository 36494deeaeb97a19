-- A number that rises with every committed change on which an answer may rest, and whether all 17 triggers that move it
-- are there. Commits of SQLite come one after the other, so the counters alone say it. The version of the schema is one
-- of them: what was written while a trigger was missing is unknown.
select coalesce((select seq from sqlite_sequence where name = 'tierkeep_outbox'), 0) + f.courses + s.epoch
           + (select schema_version from pragma_schema_version),
       (select count(*) from sqlite_schema where type = 'trigger' and name glob 'tierkeep_*') = 17
from tierkeep_state s cross join tierkeep_feed f
