-- Stored months of a learner. ?1 learner, ?2 the first month.
select month, days from tierkeep_month where user_id = ?1 and month >= ?2
