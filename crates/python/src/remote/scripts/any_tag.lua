-- KEYS: the stamp of all tags. ARGV: the stamp that it gets if it has none. The stamp; nothing where none can be made, on
-- a full server and on a replica.
local stamp = text(redis.pcall('GET', KEYS[1]))
if not stamp or #stamp ~= 16 then
  stamp = redis.pcall('SET', KEYS[1], ARGV[1]).ok and ARGV[1]
end
return { stamp or nil }
