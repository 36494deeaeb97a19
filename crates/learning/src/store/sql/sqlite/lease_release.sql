-- Gives a lease up. ?1 name, ?2 holder.
update tierkeep_lease set until = 0 where name = ?1 and holder = ?2
