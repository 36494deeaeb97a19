-- Whether a learner exists, and whether they were erased. $1 learner.
select exists (select from users where id = $1::{key}), exists (select from tierkeep_erased where user_id = $1::{key})
