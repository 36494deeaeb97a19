-- Whether a learner exists, and whether they were erased. ?1 learner.
select exists (select 1 from users where id = ?1), exists (select 1 from tierkeep_erased where user_id = ?1)
