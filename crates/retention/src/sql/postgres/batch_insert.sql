-- A batch. $3 is in microseconds since 1970.
insert into tierkeep_run_batch
    (run_id, number, at, rule, rows, digest_left, digest_arrived, first_age, last_age, chain)
values ($1, $2, timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4, $5, $6, $7, $8, $9, $10)
