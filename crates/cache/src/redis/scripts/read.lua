-- KEYS: a value. Answers the time of the server that holds it, and the value. For clusters, where a separate TIME
-- would be that of any server.
local found = redis.pcall('GET', KEYS[1])
if type(found) ~= 'string' then found = false end
return {redis.call('TIME'), found}
