-- Tokens that may admit to something.
select id, name, hash, scopes, created_at, expires_at, last_used_at, revoked_at
from tierkeep_token
where revoked_at is null
