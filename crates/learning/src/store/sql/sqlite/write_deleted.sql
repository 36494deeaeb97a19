-- Notes that a session was deleted. ?1 id, ?2 when.
insert into tierkeep_deleted_session (id, deleted_at) values (?1, ?2)
on conflict (id) do update set deleted_at = excluded.deleted_at
