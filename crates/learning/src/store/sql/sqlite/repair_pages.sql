-- Forgets the months of a learner. ?1 learner.
delete from tierkeep_month where user_id = ?1
