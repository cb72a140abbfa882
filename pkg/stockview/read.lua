-- Reads a product's entry, how many members its set of used keys has, and for each of some members whether it is there.
-- KEYS: entry, keys. ARGV: longest life of an entry in ms, members.
-- An entry without an end, or with one too far away, is none of ours: a miss. A set that is none of ours has -1 members.
local entry = redis.pcall('GET', KEYS[1])
if type(entry) == 'string' then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[1]) then
    entry = false
  end
else
  entry = false -- nothing there, or something of another type
end
if #ARGV == 1 then
  return {entry, 0}
end
local answer = {entry, -1}
local count = redis.pcall('SCARD', KEYS[2])
if type(count) == 'number' then
  answer[2] = count
  for i = 2, #ARGV do
    answer[i + 1] = redis.call('SISMEMBER', KEYS[2], ARGV[i])
  end
end
return answer
