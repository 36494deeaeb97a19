-- How many pages a table has: of a partitioned one, the most that a part of it has.
select
    greatest(
        pg_relation_size(to_regclass({table})),
        coalesce((select max(pg_relation_size(relid)) from pg_partition_tree(to_regclass({table}))), 0)
    ) / cast(current_setting('block_size') as bigint) + 1
