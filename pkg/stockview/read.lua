-- Reads a product's entry, and what its set of used keys says of one key.
-- KEYS: entry, keys. ARGV: longest life of an entry in ms, member or ''.
-- An entry without an end, or with one too far away, is none of ours: a miss.
local entry = redis.pcall('GET', KEYS[1])
if type(entry) == 'string' then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[1]) then
    entry = false
  end
else
  entry = false -- nothing there, or something of another type
end
if ARGV[2] == '' then
  return {entry, 0, 0}
end
local member = redis.pcall('SISMEMBER', KEYS[2], ARGV[2])
local count = redis.pcall('SCARD', KEYS[2])
if type(member) ~= 'number' or type(count) ~= 'number' then
  return {entry, 0, -1}
end
return {entry, member, count}
