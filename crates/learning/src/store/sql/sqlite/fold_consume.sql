-- Notes that a learner's changes are folded; the feed removes them when every node has been told. ?1 learner.
update tierkeep_outbox set settled = 1 where key = ?1 and settled = 0
