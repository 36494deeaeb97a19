-- Rows that were restored and whose time is over. ?1 the present, microseconds since 1970.
delete from tierkeep_exempt where until <= ?1
