-- Takes the leave to write from whoever had it. Waits for transactions that hold it.
insert into tierkeep_fence as f (name, token)
values ($1, 1)
on conflict (name) do update set token = f.token + 1
returning token
