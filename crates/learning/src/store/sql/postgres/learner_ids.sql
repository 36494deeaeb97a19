-- Learners in the order of their ids. $1 first id, $2 how many.
select id from users where id >= $1::{key} order by id limit $2
