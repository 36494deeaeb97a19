-- Leaves of a learner's folded changes only what every node is still to be told: the id. ?1 learner.
update tierkeep_outbox set first = null, last = null, note = null where key = ?1 and settled
