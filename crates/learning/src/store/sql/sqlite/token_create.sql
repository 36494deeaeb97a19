-- 1 id, 2 name, 3 hash, 4 scopes, 5 created_at, 6 expires_at. No row: the name is taken.
insert into tierkeep_token (id, name, hash, scopes, created_at, expires_at)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict do nothing
returning id, name, hash, scopes, created_at, expires_at, last_used_at, revoked_at
