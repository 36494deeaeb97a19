-- How many pages a table has: of one with parts, the most that a part of it has.
with recursive tree (oid) as (
    select to_regclass({table})::oid
    union
    select i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.oid
)
select max(pg_relation_size(oid)) / cast(current_setting('block_size') as bigint) + 1 from tree
