-- Whether a learner was erased. ?1 learner.
select user_id from tierkeep_erased where user_id = ?1
