-- 1 id, 2 instant. Several nodes note the same token.
update tierkeep_token set last_used_at = $2
where id = $1 and (last_used_at is null or last_used_at < $2)
