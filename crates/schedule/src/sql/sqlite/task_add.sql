-- A task that the database has not seen yet.
insert into tierkeep_schedule (name, enabled, timing, zone, next_at)
values (?1, ?2, ?3, ?4, ?5)
on conflict do nothing
