-- Shared by the scripts of the bus. KEYS: its state, one hash, so that counter and leases are lost together:
-- `id` (random), `last`, `strict` (the last strict notice), `seen` (the last epoch), `longest` (lease, ms), `grace`
-- (until when leases may run that this server does not know of), and `l` with a node's 8 bytes: until when.
-- ARGV: channel, a random id for a new counter.
local state, channel = KEYS[1], ARGV[1]

local function milliseconds(number) return string.format('%.0f', number) end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.pcall('HMGET', state, 'id', 'last', 'strict', 'seen', 'longest', 'grace')
if known.err then
  redis.call('DEL', state)
  known = {}
end
local id = known[1]
if not id then
  id = ARGV[2]
  redis.call('HSET', state, 'id', id)
end
local last, strict = tonumber(known[2] or 0), tonumber(known[3] or 0)
local longest, grace = tonumber(known[5] or 0), tonumber(known[6] or 0)

-- A failover to a replica that lags, or a restart from an old snapshot, must not look like the same counter.
local function information(section, field)
  local found = redis.pcall('INFO', section)
  if type(found) ~= 'string' then return '' end
  return string.match(found, field .. ':(%x+)') or ''
end
local server = information('replication', 'master_replid') .. information('server', 'run_id')
local epoch = string.sub(redis.sha1hex(id .. server), 1, 16)
if known[4] ~= epoch then
  if known[4] then
    grace = now + longest
    redis.call('HSET', state, 'grace', milliseconds(grace))
  end
  redis.call('HSET', state, 'seen', epoch)
end

-- Calls `each` with the name and remaining ms of every lease that runs, and forgets the others.
local function leases(each)
  local fields = redis.call('HGETALL', state)
  for index = 1, #fields, 2 do
    if string.sub(fields[index], 1, 1) == 'l' and #fields[index] == 9 then
      local left = tonumber(fields[index + 1]) - now
      if left > 0 then each(string.sub(fields[index], 2), left) else redis.call('HDEL', state, fields[index]) end
    end
  end
end
