-- KEYS: value, lease if it has one. ARGV: prefix of stamps, what to do (read, keep, expire), milliseconds.
-- The remaining time before that, -1 for ever, -2 without a value.
local name = KEYS[1]
if not lives(name, ARGV[1]) then return -2 end
local left = redis.call('PTTL', name)
if ARGV[2] == 'keep' then
  redis.call('PERSIST', name)
elseif ARGV[2] == 'expire' then
  fence(KEYS[2])
  redis.call('PEXPIRE', name, ARGV[3])
end
return left
