-- The page to go on from and the one behind the last: of a table with parts, of the longest of them. {name} comes from
-- checked identifiers. $1 the page to look from.
with recursive tree (oid) as (
    select to_regclass({name})::oid
    union
    select i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.oid
)
select greatest(cast($1 as bigint), 0), max(pg_relation_size(oid)) / cast(current_setting('block_size') as bigint) + 1 from tree
