-- Whether the rows of the outbox take more than ?1 bytes; a row with its index entry is counted as 60 bytes and its texts.
select coalesce(sum(60 + length(source) + coalesce(length(key), 0) + coalesce(length(note), 0)), 0) > ?1
from tierkeep_outbox
