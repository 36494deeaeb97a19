-- Notes that no nightly rows are due, unless that has changed. ?1 learner, ?2 the day that was read.
delete from tierkeep_analytics_due where user_id = ?1 and first_day = ?2
