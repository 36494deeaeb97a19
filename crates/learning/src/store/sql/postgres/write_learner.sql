-- A row if the learner exists. $1 learner.
select 1 from users where id = $1::{key}
