-- A run begins.
insert into tierkeep_run (command, fence, plan)
values (?1, ?2, ?3)
returning id, started_at
