-- KEYS: value, lease and hold of each key. ARGV: of each severity (H, S), minimum version (8 bytes, or empty), ms
-- of the hold.
for index = 1, #KEYS, 3 do
  local value, lease, hold = KEYS[index], KEYS[index + 1], KEYS[index + 2]
  local severity, minimum, period = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  redis.call('DEL', lease)
  if severity == 'H' then
    redis.call('UNLINK', value)
  elseif header(value) then
    -- A full server does not mark, but it deletes.
    written(value, redis.pcall('SETRANGE', value, 8, 'U'))
  end
  if minimum ~= '' then
    local before = text(hold)
    if before and #before == 8 and below(minimum, before) then minimum = before end
    redis.call('SET', hold, minimum, 'PX', period)
  end
end
return 1
