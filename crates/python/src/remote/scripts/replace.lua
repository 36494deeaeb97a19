-- KEYS: value, lease if it has one. ARGV: the bytes that must be stored, those that replace them with the time that is
-- left. 1 if they did.
if text(redis.pcall('GET', KEYS[1])) ~= ARGV[1] then return 0 end
-- First what a full server refuses: after another write in the same script it would not.
store(KEYS[1], ARGV[2], redis.call('PTTL', KEYS[1]))
fence(KEYS[2])
return 1
