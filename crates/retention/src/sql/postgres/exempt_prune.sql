-- Forgets restored rows whose grace was over at $1, in microseconds since 1970; $2 at most.
delete from tierkeep_exempt
where ctid = any(array(
    select ctid from tierkeep_exempt where until <= timestamptz 'epoch' + $1::bigint * interval '1 microsecond' limit $2
))
