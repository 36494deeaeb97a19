-- The digest of the beginning of run $1, which is also the end of the chain.
update tierkeep_run set begun = $2, chain = $2 where id = $1
