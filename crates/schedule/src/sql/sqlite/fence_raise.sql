-- Takes the leave to write from whoever had it.
insert into tierkeep_fence (name, token)
values (?1, 1)
on conflict (name) do update set token = token + 1
returning token
