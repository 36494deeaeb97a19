-- Whether a learner exists, who then does not go before this transaction ends, and whether they were erased. ?1 learner.
select exists (select 1 from users where id = ?1), exists (select 1 from tierkeep_erased where user_id = ?1)
