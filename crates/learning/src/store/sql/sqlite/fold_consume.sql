-- Removes the changes of a learner that was folded; nobody writes between the fold and this. ?1 learner.
delete from tierkeep_outbox where user_id = ?1
