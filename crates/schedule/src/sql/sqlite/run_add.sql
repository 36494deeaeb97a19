-- A run that waits; none if there is one for that instant.
insert into tierkeep_schedule_run (task, due, run_at, asked_for, only_here)
values (?1, ?2, ?3, ?4, ?5)
on conflict do nothing
returning id
