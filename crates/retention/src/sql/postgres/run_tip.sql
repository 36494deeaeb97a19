-- The end of the chain: the digest of the newest batch, or of the beginning of the newest run.
select coalesce((select chain from tierkeep_run order by id desc limit 1), '')
