-- Adds to the global sums. ?1 day, ?2 kind, ?3 name, ?4 sessions, ?5 minutes.
insert into tierkeep_global (day, kind, name, sessions, minutes) values (?1, ?2, ?3, ?4, ?5)
on conflict (day, kind, name) do update
set sessions = sessions + excluded.sessions, minutes = minutes + excluded.minutes
