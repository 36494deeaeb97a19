-- Notes that changes are folded; the feed removes them when every node has been told. In the order in which they are
-- numbered, so that two who lock them do not wait for each other. $1 ids.
update tierkeep_outbox set settled = true
where id in (select id from tierkeep_outbox where id = any($1::bigint[]) order by id for update)
