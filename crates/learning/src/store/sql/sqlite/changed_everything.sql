-- Whether anything of anybody may have changed.
select exists (select 1 from tierkeep_outbox where user_id is null)
