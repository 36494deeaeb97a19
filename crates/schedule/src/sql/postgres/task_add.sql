-- A task that the database has not seen yet.
insert into tierkeep_schedule (name, enabled, timing, zone, next_at)
values ($1, $2, $3, $4, timestamptz 'epoch' + $5 * interval '1 microsecond')
on conflict do nothing
