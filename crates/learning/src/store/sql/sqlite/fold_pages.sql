-- Stored months of a learner, and their bases. ?1 learner, ?2 first and ?3 last month.
select month, days, 0 as is_base from tierkeep_month where user_id = ?1 and month between ?2 and ?3
union all
select month, days, 1 from tierkeep_base where user_id = ?1 and month between ?2 and ?3
