-- KEYS: value, its lease. ARGV: prefix of stamps, payload, token, milliseconds of a lease.
-- If the payload is still what is stored: the token of a lease, and the digest of the value. Else nothing. It is compared
-- with the end of the value: on a cluster nobody here knows where it begins.
local value = text(redis.pcall('GET', KEYS[1]))
local start = value and payload(value, ARGV[1])
if not start or string.sub(value, -#ARGV[2]) ~= ARGV[2] then return {} end
local lease = text(redis.pcall('GET', KEYS[2]))
if not lease then
  local made = redis.pcall('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  lease = made.ok and ARGV[3]
end
if not lease then return {} end
return { lease, redis.sha1hex(value) }
