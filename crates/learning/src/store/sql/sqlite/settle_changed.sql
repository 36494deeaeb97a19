-- Learners with changes, in the order of their ids. ?1 how many.
select key from tierkeep_outbox where key is not null and settled = 0 group by key order by key limit ?1
