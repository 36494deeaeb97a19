-- ?1 learner, ?2 month.
delete from tierkeep_month where user_id = ?1 and month = ?2
