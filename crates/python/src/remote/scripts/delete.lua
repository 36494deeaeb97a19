-- KEYS: values, each followed by its lease if ARGV[2] is 2. ARGV: prefix of stamps, keys per value. 1 or 0 for each
-- value, whether it was there.
local step = tonumber(ARGV[2])
local answers = {}
for i = 1, #KEYS, step do
  answers[#answers + 1] = lives(KEYS[i], ARGV[1]) and 1 or 0
  redis.call('UNLINK', KEYS[i])
  if step == 2 then fence(KEYS[i + 1]) end
end
return answers
