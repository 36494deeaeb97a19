-- Learners with changes, in the order of their ids. ?1 how many.
select user_id from tierkeep_outbox where user_id is not null group by user_id order by user_id limit ?1
