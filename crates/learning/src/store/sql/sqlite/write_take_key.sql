-- Takes a key; no row if it was taken. ?1 key, ?2 request, ?3 when.
insert into tierkeep_idempotency (key, request, answer, created_at) values (?1, ?2, x'', ?3)
on conflict (key) do nothing
