-- Returns a product's entry, the cache's time in ms, the size of the set of used keys, and for each of the given members
-- whether the set has it.
-- KEYS: entry, keys. ARGV: maximum TTL of an entry in ms, members.
-- An entry without a TTL, or with a longer one, was not written by write.lua: a miss. A set of another type has size -1.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entry = redis.pcall('GET', KEYS[1])
if type(entry) == 'string' then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[1]) then
    entry = false
  end
else
  entry = false -- missing, or a value of another type
end
if #ARGV == 1 then
  return {entry, now, 0}
end
local result = {entry, now, -1}
local count = redis.pcall('SCARD', KEYS[2])
if type(count) == 'number' then
  result[3] = count
  for i = 2, #ARGV do
    result[i + 2] = redis.call('SISMEMBER', KEYS[2], ARGV[i])
  end
end
return result
