-- Whoever writes waits for its turn before the transaction begins.
select 1
