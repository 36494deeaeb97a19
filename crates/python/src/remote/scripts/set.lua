-- KEYS: value, lease if it has one. ARGV: payload, milliseconds (empty for ever), condition (NX, XX or empty), token of
-- a fill or empty, prefix of stamps, milliseconds that stamps are kept, name of the stamp of all tags, the stamp that it
-- must have or empty, the digest of a value that counts as none or empty, then for each tag: its name, the stamp that it
-- must have or empty, the stamp that it gets if it has none. 1 if the value was stored.
local name, lease = KEYS[1], KEYS[2]
local condition, token, prefix = ARGV[3], ARGV[4], ARGV[5]
if token ~= '' and (not lease or text(redis.pcall('GET', lease)) ~= token) then return 0 end
if ARGV[8] ~= '' and text(redis.pcall('GET', ARGV[7])) ~= ARGV[8] then return 0 end
if condition ~= '' then
  local found = lives(name, prefix)
  if found and ARGV[9] ~= '' then found = redis.sha1hex(redis.call('GET', name)) ~= ARGV[9] end
  if found ~= (condition == 'XX') then return 0 end
end
if ARGV[2] == '0' then
  redis.call('DEL', name)
  fence(lease)
  return 1
end
local parts = {}
for i = 10, #ARGV, 3 do
  local tag, wanted = ARGV[i], ARGV[i + 1]
  local stamp = wanted
  if prefix ~= '' then
    local keep = tonumber(ARGV[6])
    local record = prefix .. tag
    stamp = text(redis.pcall('GET', record))
    if wanted ~= '' then
      if stamp ~= wanted then return 0 end
    elseif not stamp or #stamp ~= 16 then
      stamp = ARGV[i + 2]
      store(record, stamp, keep)
    end
    local left = redis.call('PTTL', record)
    if left >= 0 and keep <= 0 then
      redis.call('PERSIST', record)
    elseif left >= 0 and left < keep / 2 then
      redis.call('PEXPIRE', record, keep)
    end
  end
  parts[#parts + 1] = struct.pack('>H', #tag) .. tag .. stamp
end
local value = ARGV[1]
if #parts > 0 then value = MAGIC .. struct.pack('>H', #parts) .. table.concat(parts) .. value end
-- First what a full server refuses: after another write in the same script it would not.
store(name, value, tonumber(ARGV[2]) or 0)
if token == '' then fence(lease) end
return 1
