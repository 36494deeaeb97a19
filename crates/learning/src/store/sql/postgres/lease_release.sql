-- Gives a lease up. $1 name, $2 holder.
update tierkeep_lease set until = '-infinity' where name = $1 and holder = $2
