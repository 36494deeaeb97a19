-- Rows that were restored and whose time is over. $1 the present, microseconds since 1970.
delete from tierkeep_exempt where until <= timestamptz 'epoch' + cast($1 as bigint) * interval '1 microsecond'
