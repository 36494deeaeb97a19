-- Shared by the scripts of the remote tier. Layouts are described in redis.rs.

-- The string at a key. Anything else that stands there is not ours: it is deleted and counts as absent.
local function text(key)
  local found = redis.pcall('GET', key)
  if type(found) == 'string' then return found end
  if type(found) == 'table' then redis.call('DEL', key) end
  return nil
end

-- The first 18 bytes of a stored value, or nil for none and for foreign bytes.
local function header(key)
  local found = redis.pcall('GETRANGE', key, 0, 17)
  if type(found) ~= 'string' then
    redis.call('DEL', key)
    return nil
  end
  if #found < 18 then return nil end
  local flags, versioned = string.byte(found, 9, 10)
  if (flags ~= 84 and flags ~= 85) or versioned > 1 then return nil end
  return found
end

-- Compares two big-endian numbers of 8 bytes. Not with `<`: Lua compares strings by the server's locale.
local function below(left, right)
  local left_high, left_low = struct.unpack('>I4I4', left)
  local right_high, right_low = struct.unpack('>I4I4', right)
  if left_high ~= right_high then return left_high < right_high end
  return left_low < right_low
end

-- A tag's record and how many rules it has; nil for none and for foreign bytes.
local function record(key)
  local found = text(key)
  if not found or #found < 24 then return nil end
  local at, rules = 25, 0
  while at <= #found do
    local others = string.byte(found, at + 8)
    if not others then return nil end
    at = at + 9 + 16 * others
    rules = rules + 1
  end
  if at ~= #found + 1 then return nil end
  return found, rules
end

-- The number of the last bump. A lost counter goes on from the server's time in microseconds, which is above
-- every number it ever gave: a counter that started again low would let old loads pass.
local function bumps(key)
  local last = tonumber(text(key) or '')
  if last then return last end
  local time = redis.call('TIME')
  last = time[1] * 1000000 + time[2]
  redis.call('SET', key, string.format('%.0f', last))
  return last
end

-- The number of a new bump. If it cannot be kept the counter is deleted, so that it goes on from the time.
local function next_bump(key)
  local time = redis.call('TIME')
  local last = (tonumber(text(key) or '') or time[1] * 1000000 + time[2]) + 1
  local done = redis.pcall('SET', key, string.format('%.0f', last))
  if done.err then redis.call('DEL', key) end
  return last
end

-- Deletes a key if what was to be written there was refused. A full server refuses to write but not to delete, and
-- an entry without the record of its tag is void: that forgets more, never less.
local function written(key, answer)
  if type(answer) == 'table' and answer.err then redis.call('DEL', key) end
end
