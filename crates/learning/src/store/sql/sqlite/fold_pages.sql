-- Stored months of a learner. ?1 learner, ?2 first and ?3 last month.
select month, days from tierkeep_month where user_id = ?1 and month between ?2 and ?3
