-- KEYS: the record of a tag. ARGV: ms it is kept at least. For clusters, where a fill cannot do it.
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
