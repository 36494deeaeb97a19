-- Adds to the global sums, rows locked in the order given. $1 days, $2 kinds, $3 names, $4 sessions, $5 minutes.
insert into tierkeep_global as g (day, kind, name, sessions, minutes)
select * from unnest($1::integer[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[])
on conflict (day, kind, name) do update
set sessions = g.sessions + excluded.sessions, minutes = g.minutes + excluded.minutes
