-- Changes of a learner since the last fold, oldest first. ?1 learner.
select at, first_start, last_start, zone from tierkeep_outbox where user_id = ?1 order by id
