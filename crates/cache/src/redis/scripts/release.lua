-- KEYS: leases. ARGV: the token of each. Deletes those that are still held under it.
for index = 1, #KEYS do
  if text(KEYS[index]) == ARGV[index] then redis.call('DEL', KEYS[index]) end
end
return 1
