-- Removes changes that were folded. $1 ids.
delete from tierkeep_outbox where id = any($1::bigint[])
