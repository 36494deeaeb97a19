-- KEYS: the counter of bumps if ordered, then the record of each tag. ARGV: ordered (0 or 1), then of each tag
-- severity (H, S) and the new soft stamp. The life of a record does not change.
local first = 0
if ARGV[1] == '1' then first = 1 end
for index = first + 1, #KEYS do
  local arg = (index - first) * 2
  local number = 0
  if first == 1 then number = next_bump(KEYS[1]) end
  if ARGV[arg] == 'H' then
    redis.call('DEL', KEYS[index])
  elseif record(KEYS[index]) then
    written(KEYS[index], redis.pcall('SETRANGE', KEYS[index], 8, ARGV[arg + 1] .. struct.pack('>I8', number)))
  end
end
return 1
