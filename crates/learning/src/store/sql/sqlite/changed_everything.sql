-- Whether anything of anybody may have changed.
select exists (select 1 from tierkeep_outbox where key is null and settled = 0)
