-- Stores a product's entry unless the cache has a later one, and adds a used key.
-- KEYS: entry, keys. ARGV: version, entry, its TTL in ms, maximum TTL in ms, member or '', TTL of the set in ms.
-- A current value counts only if this script wrote it: it starts with a version and expires soon.
local newer = true
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'string' then
  local version = tonumber(string.match(current, '^(%d+) '))
  local left = redis.call('PTTL', KEYS[1])
  if version and version >= tonumber(ARGV[1]) and left >= 0 and left <= tonumber(ARGV[4]) then
    newer = false
  end
end
if newer then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
if ARGV[5] ~= '' then
  local added = redis.pcall('SADD', KEYS[2], ARGV[5])
  if type(added) ~= 'number' then -- a value of another type
    redis.call('DEL', KEYS[2])
    redis.call('SADD', KEYS[2], ARGV[5])
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
return newer and 1 or 0
