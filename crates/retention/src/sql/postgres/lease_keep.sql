-- Renews the lease of fence $1 and holder $2 for $3 microseconds, if it still is theirs. Locks the row until the end of the
-- transaction. A process that stands still in the middle of a batch loses its transaction after a lease's time.
update tierkeep_retention
set until = clock_timestamp() + $3::bigint * interval '1 microsecond'
where fence = $1 and holder = $2
returning stop,
    case when current_setting('idle_in_transaction_session_timeout') = '0'
        then set_config('idle_in_transaction_session_timeout', ($3::bigint / 1000)::text, true) end
