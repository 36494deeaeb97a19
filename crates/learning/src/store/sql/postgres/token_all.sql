-- Every token that was ever made.
select id, name, hash, scopes, created_at, expires_at, last_used_at, revoked_at
from tierkeep_token
order by created_at, id
