-- KEYS: value, lease if it has one. ARGV: prefix of stamps, the number to add, or empty to read only.
-- The sum as text; or an empty text and the stored bytes if it is not for the server to add; or nothing without a value.
local value = text(redis.pcall('GET', KEYS[1]))
local start = value and payload(value, ARGV[1])
if not start then return {} end
if ARGV[2] ~= '' and start == 1 and string.find(value, '^%-?%d+$') then
  local sum = redis.pcall('INCRBY', KEYS[1], ARGV[2])
  if type(sum) == 'number' then
    fence(KEYS[2])
    -- The number itself has passed through a float.
    return { redis.call('GET', KEYS[1]) }
  end
end
return { '', value }
