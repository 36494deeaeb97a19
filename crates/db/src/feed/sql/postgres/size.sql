-- Whether the outbox takes more than $1 bytes, and not only dead rows that vacuum will give back.
select
    pg_total_relation_size('tierkeep_outbox') > $1::bigint
    and (select coalesce(sum(pg_column_size(o.*) + 100), 0) > $1::bigint / 4 from tierkeep_outbox as o) as is_large
