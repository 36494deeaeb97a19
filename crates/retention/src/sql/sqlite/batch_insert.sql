-- A batch. ?3 is in microseconds since 1970.
insert into tierkeep_run_batch
    (run_id, number, at, rule, rows, digest_left, digest_arrived, first_age, last_age, chain)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
