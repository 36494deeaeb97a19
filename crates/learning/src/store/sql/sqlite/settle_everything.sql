-- "Anything of anybody changed": forgets all summaries at once by raising the epoch. The caller removes the rows.
update tierkeep_state set epoch = epoch + 1 where exists (select 1 from tierkeep_outbox where user_id is null)
