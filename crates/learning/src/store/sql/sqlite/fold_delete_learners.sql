-- ?1 learner.
delete from tierkeep_learner where user_id = ?1
