-- "Anything of anybody changed": forgets all summaries at once by raising the epoch. The caller notes that it has.
update tierkeep_state set epoch = epoch + 1 where exists (select 1 from tierkeep_outbox where key is null and settled = 0)
