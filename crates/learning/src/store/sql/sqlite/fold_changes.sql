-- Changes of a learner since the last fold, oldest first. ?1 learner.
select at, first, last, note, source = 'users' from tierkeep_outbox where key = ?1 and settled = 0 order by id
