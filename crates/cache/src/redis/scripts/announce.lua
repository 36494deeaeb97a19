-- ARGV: …, strict (0 or 1), notice. Answers epoch, number, {node, remaining ms, …}.
last = redis.call('HINCRBY', state, 'last', 1)
local holders = {}
if ARGV[3] == '1' then
  redis.call('HSET', state, 'strict', milliseconds(last))
  leases(function(node, left)
    holders[#holders + 1] = node
    holders[#holders + 1] = left
  end)
  if grace > now then
    holders[#holders + 1] = string.rep('\0', 8)
    holders[#holders + 1] = grace - now
  end
end
redis.call('PUBLISH', channel, 'N' .. epoch .. struct.pack('>I8', last) .. ARGV[3] .. ARGV[4])
return {epoch, last, holders}
