-- The first day of a learner whose nightly rows are due. ?1 learner.
select first_day from tierkeep_analytics_due where user_id = ?1
