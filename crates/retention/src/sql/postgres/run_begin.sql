-- A run begins.
insert into tierkeep_run (command, fence, plan)
values ($1, $2, $3)
returning id, cast(extract(epoch from started_at) * 1000000 as bigint)
