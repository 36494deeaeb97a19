-- Whether anything of anybody may have changed.
select exists (select from tierkeep_outbox where user_id is null)
