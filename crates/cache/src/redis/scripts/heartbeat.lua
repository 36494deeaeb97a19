-- ARGV: …, node, nonce (8 bytes each), epoch (empty before the first echo), applied, lease in ms.
local granted = '0'
if ARGV[5] == epoch and tonumber(ARGV[6]) >= strict then
  granted = '1'
  local period = tonumber(ARGV[7])
  local field = 'l' .. ARGV[3]
  local before = tonumber(redis.call('HGET', state, field) or 0)
  local is_new = redis.call('HSET', state, field, milliseconds(math.max(before, now + period)))
  if period > longest then redis.call('HSET', state, 'longest', milliseconds(period)) end
  -- A process that ended without leaving leaves a field; each newcomer clears up.
  if is_new == 1 then leases(function() end) end
end
redis.call('PUBLISH', channel, 'E' .. epoch .. struct.pack('>I8', last) .. granted .. ARGV[3] .. ARGV[4])
return 1
