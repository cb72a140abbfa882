-- Stores a product's entry unless the cache has a later one, and adds used keys. Returns 1 if it stored the entry, 0 if
-- the cache has a later one, -1 if the entry's life is over or would be too long, and the cache's time in ms.
-- KEYS: entry, keys. ARGV: version, entry, the time in ms when it expires, maximum TTL in ms, TTL of the set in ms,
-- members (at most 256, since they are arguments of one call).
-- The entry expires at a time, not after one: a write may wait in the socket of a frozen server and run much later.
-- Of two states with one version the later write wins: a read may have left out units that are due.
-- A current value counts only if this script wrote it: it starts with a version and expires soon.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[3]) - now
local status = 1
if ttl <= 0 or ttl > tonumber(ARGV[4]) then
  status = -1
else
  local current = redis.pcall('GET', KEYS[1])
  if type(current) == 'string' then
    local version = tonumber(string.match(current, '^(%d+) '))
    local left = redis.call('PTTL', KEYS[1])
    if version and version > tonumber(ARGV[1]) and left >= 0 and left <= tonumber(ARGV[4]) then
      status = 0
    end
  end
end
if status == 1 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ttl)
end
if #ARGV > 5 then -- also by a late write: a key stays used
  local added = redis.pcall('SADD', KEYS[2], unpack(ARGV, 6))
  if type(added) ~= 'number' then
    if not string.find(added.err, 'WRONGTYPE', 1, true) then
      return added
    end
    redis.call('DEL', KEYS[2])
    redis.call('SADD', KEYS[2], unpack(ARGV, 6))
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {status, now}
