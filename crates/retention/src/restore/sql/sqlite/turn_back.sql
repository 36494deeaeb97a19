-- Forgets that anything was turned from a row that is back. ?1 run, ?2 key of the row as text.
delete from tierkeep_repointed where run_id = ?1 and former = ?2
