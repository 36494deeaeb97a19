-- Leaves of a learner's folded changes only what every node is still to be told: the id. In the order in which they are
-- numbered, so that two who lock them do not wait for each other. $1 learner.
update tierkeep_outbox set first = null, last = null, note = null
where id in (select id from tierkeep_outbox where key = $1::{key} and settled order by id for update)
