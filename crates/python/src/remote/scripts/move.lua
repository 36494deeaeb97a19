-- KEYS: from, its lease, to, its lease. ARGV: the bytes that must be stored, those that are stored at the other key
-- with the time that is left. 1 if they were.
if text(redis.pcall('GET', KEYS[1])) ~= ARGV[1] then return 0 end
-- First what a full server refuses: after another write in the same script it would not.
store(KEYS[3], ARGV[2], redis.call('PTTL', KEYS[1]))
redis.call('UNLINK', KEYS[1])
fence(KEYS[2])
fence(KEYS[4])
return 1
