-- KEYS: the counter of bumps, the record of the tag. ARGV: most rules of a record, the rule's other tags (their
-- number in a byte, then 16 bytes each; empty if there are too many). Where the rule does not fit the record is
-- deleted, as by a hard bump.
local found, rules = record(KEYS[2])
-- Without a record there is no entry that carries the tag and counts.
if not found then return 0 end
local number = next_bump(KEYS[1])
if ARGV[2] == '' or rules >= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[2])
else
  written(KEYS[2], redis.pcall('APPEND', KEYS[2], struct.pack('>I8', number) .. ARGV[2]))
end
return 1
