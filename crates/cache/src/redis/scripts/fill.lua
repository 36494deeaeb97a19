-- KEYS: value, lease and hold of the key, then records of tags. ARGV: token, ms to live, version (1 byte whether
-- there is one, 8 bytes), what a refusal does (L leaves alone, D deletes), ms to keep records, envelope.
-- Answers 1 if stored, 0 if not.
local value, lease, hold = KEYS[1], KEYS[2], KEYS[3]
local version, keep = ARGV[3], tonumber(ARGV[5])
local versioned = string.byte(version, 1) == 1

if text(lease) ~= ARGV[1] then
  if ARGV[4] == 'D' then redis.call('UNLINK', value, lease) end
  return 0
end

local function rejected()
  redis.call('DEL', lease)
  return 0
end

local minimum = text(hold)
if minimum and #minimum == 8 then
  if not versioned or below(string.sub(version, 2), minimum) then return rejected() end
end
if versioned then
  local stored = header(value)
  if stored and string.byte(stored, 10) == 1 and below(string.sub(version, 2), string.sub(stored, 11)) then
    return rejected()
  end
end

-- First, because a full server refuses only the first write of a script.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', value, struct.pack('>I8', now) .. 'T' .. version .. ARGV[6], 'PX', ARGV[2])
redis.call('DEL', lease)
for index = 4, #KEYS do
  local left = redis.call('PTTL', KEYS[index])
  if left >= 0 and left < keep then redis.call('PEXPIRE', KEYS[index], ARGV[5]) end
end
return 1
