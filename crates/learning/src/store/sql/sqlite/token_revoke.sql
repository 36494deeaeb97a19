-- 1 name or id, 2 now. No name looks like an id.
update tierkeep_token set revoked_at = ?2
where (id = ?1 or name = ?1) and revoked_at is null
returning id, name, hash, scopes, created_at, expires_at, last_used_at, revoked_at
