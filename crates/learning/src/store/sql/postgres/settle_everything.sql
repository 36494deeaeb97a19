-- "Anything of anybody changed": forgets all summaries at once by raising the epoch.
with seen as (
    update tierkeep_outbox set settled = true where key is null and not settled returning id
)
update tierkeep_state set epoch = epoch + 1 where exists (select from seen)
