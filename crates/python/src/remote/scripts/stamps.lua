-- KEYS: stamps. ARGV: milliseconds that a new one is kept or 0, then for each the stamp that it gets if it has none.
local answers = {}
for i = 1, #KEYS do
  local stamp = text(redis.pcall('GET', KEYS[i]))
  if not stamp or #stamp ~= 16 then
    stamp = ARGV[i + 1]
    store(KEYS[i], stamp, tonumber(ARGV[1]))
  end
  answers[i] = stamp
end
return answers
