-- Remembers that a learner was erased. ?1 learner.
insert into tierkeep_erased (user_id, erased_at) values (?1, cast(unixepoch('subsec') * 1000 as integer) * 1000)
on conflict (user_id) do update set erased_at = excluded.erased_at
returning erased_at
