-- Forgets restored rows whose grace was over at ?1; ?2 at most.
delete from tierkeep_exempt
where (source, row_key) in (select source, row_key from tierkeep_exempt where until <= ?1 limit ?2)
