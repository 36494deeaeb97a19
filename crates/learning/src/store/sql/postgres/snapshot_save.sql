-- Keeps something under a name. $1 name, $2 content.
insert into tierkeep_snapshot (name, saved_at, content) values ($1, clock_timestamp(), $2)
on conflict (name) do update set saved_at = excluded.saved_at, content = excluded.content
