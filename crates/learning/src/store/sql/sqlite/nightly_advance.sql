-- Notes from which day on nightly rows are due now, unless that has changed. ?1 learner, ?2 the day that was read, ?3 the next.
update tierkeep_analytics_due set first_day = ?3 where user_id = ?1 and first_day = ?2
