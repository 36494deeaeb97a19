select
    pg_is_in_recovery() as is_replica,
    current_setting('transaction_read_only')::boolean as is_read_only,
    current_setting('default_transaction_read_only')::boolean as is_read_only_by_default,
    current_setting('server_version') as version,
    current_setting('fsync')::boolean as fsync,
    current_setting('full_page_writes')::boolean as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    to_regproc('pg_catalog.hash_record_extended') is not null as has_row_hash,
    (extract(epoch from clock_timestamp()) * 1000000)::bigint as clock
