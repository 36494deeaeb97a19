-- KEYS: the counter of bumps if ordered, then value and lease of each key, then the record of each tag.
-- ARGV: ordered (0 or 1), number of leases, then token, ms and claim (A, R, W) of each, then proposed stamps and ms
-- of each tag. Answers {for each lease -2 granted, -1 present or the ms it is busy for}, {records}, bumps.
local ordered, leases = ARGV[1] == '1', tonumber(ARGV[2])
local key, arg = 0, 2
local last = 0
if ordered then
  key = 1
  last = bumps(KEYS[1])
end

local function lease(value, holder, token, period, claim)
  if claim == 'W' then
    redis.call('UNLINK', value)
  else
    if claim == 'A' and header(value) then return -1 end
    local held = text(holder)
    if held and held ~= token then
      local left = redis.call('PTTL', holder)
      if left >= 0 then return math.max(left, 1) end
    end
  end
  redis.call('SET', holder, token, 'PX', period)
  return -2
end

local answers = {}
for index = 1, leases do
  answers[index] = lease(KEYS[key + 1], KEYS[key + 2], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3])
  key, arg = key + 2, arg + 3
end

local records = {}
while key < #KEYS do
  key = key + 1
  local found = record(KEYS[key])
  if not found then
    found = ARGV[arg + 1] .. struct.pack('>I8', last)
    redis.call('SET', KEYS[key], found, 'PX', ARGV[arg + 2])
  end
  records[#records + 1] = found
  arg = arg + 2
end
return {answers, records, last}
