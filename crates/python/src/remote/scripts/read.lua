-- KEYS: values, each followed by its lease if there is a token. ARGV: prefix of stamps, token, milliseconds of a lease.
-- Each value, whole, with its remaining time, or the token of its lease.
local prefix, token = ARGV[1], ARGV[2]
local step = token == '' and 1 or 2
local answers = {}
for i = 1, #KEYS, step do
  local value = text(redis.pcall('GET', KEYS[i]))
  local start = value and payload(value, prefix)
  if start then
    answers[#answers + 1] = { value, redis.call('PTTL', KEYS[i]) }
  elseif token == '' then
    answers[#answers + 1] = { false }
  else
    local lease = text(redis.pcall('GET', KEYS[i + 1]))
    if not lease then
      local made = redis.pcall('SET', KEYS[i + 1], token, 'PX', ARGV[3])
      lease = made.ok and token
    end
    answers[#answers + 1] = { false, lease or false }
  end
end
return answers
