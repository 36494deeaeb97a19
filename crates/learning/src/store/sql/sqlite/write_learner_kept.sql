-- A row if the learner exists, who then does not go before this transaction ends. ?1 learner.
select 1 from users where id = ?1
