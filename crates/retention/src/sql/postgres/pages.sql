-- From which page on there are any, and how many there are: of a partitioned table, the most that a part of it has. $1 the
-- first that is asked for.
select
    greatest(cast($1 as bigint), 0),
    greatest(
        pg_relation_size(to_regclass({name})),
        coalesce((select max(pg_relation_size(relid)) from pg_partition_tree(to_regclass({name}))), 0)
    ) / cast(current_setting('block_size') as bigint) + 1
