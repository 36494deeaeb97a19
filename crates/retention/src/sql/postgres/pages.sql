-- From which page on there are any, and how many there are: of a table with parts, the most that a part of it has. $1 the
-- first that is asked for.
with recursive tree (oid) as (
    select cast(to_regclass({name}) as oid)
    union
    select i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.oid
)
select
    greatest(cast($1 as bigint), 0),
    max(pg_relation_size(oid)) / cast(current_setting('block_size') as bigint) + 1
from tree
