-- The base of a month. ?1 learner, ?2 month.
select month, days from tierkeep_base where user_id = ?1 and month = ?2
