-- What a tagged value begins with: this, the number of tags (2 bytes), and for each tag its length (2), the tag and
-- the stamp (16) it had when the value was stored. Any other value is its own payload.
local MAGIC = '\246TG1'

local function text(answer)
  if type(answer) == 'string' then return answer end
  return nil
end

-- Where the payload of a value begins; nil for one with a tag whose stamp has changed, and for foreign bytes.
-- Without a prefix, as on a cluster, where stamps lie elsewhere, the whole value is the payload.
local function payload(value, prefix)
  if prefix == '' or string.sub(value, 1, 4) ~= MAGIC then return 1 end
  if #value < 6 then return nil end
  local at = 7
  for _ = 1, struct.unpack('>H', value, 5) do
    if #value < at + 1 then return nil end
    local length = struct.unpack('>H', value, at)
    local stamp = string.sub(value, at + 2 + length, at + 17 + length)
    if #stamp < 16 then return nil end
    local tag = string.sub(value, at + 2, at + 1 + length)
    if text(redis.pcall('GET', prefix .. tag)) ~= stamp then return nil end
    at = at + 18 + length
  end
  return at
end

-- Whether there is a value that counts; reads no more of it than it must.
local function lives(name, prefix)
  local head = text(redis.pcall('GETRANGE', name, 0, 3))
  if head == nil or head == '' then return false end
  if head ~= MAGIC then return true end
  return payload(redis.call('GET', name), prefix) ~= nil
end

-- Leases end with every change that is not a fill.
local function fence(lease)
  if lease then redis.call('DEL', lease) end
end

local function store(name, value, ttl)
  if ttl > 0 then
    redis.call('SET', name, value, 'PX', ttl)
  else
    redis.call('SET', name, value)
  end
end
