-- Whether anything of anybody may have changed.
select exists (select from tierkeep_outbox where key is null and not settled)
