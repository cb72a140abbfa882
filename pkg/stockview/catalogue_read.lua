-- Returns the time in ms until which the catalogue says something, or 0, then "large" or "", the cache's time in ms, and
-- products from a position on.
-- KEYS: catalogue. ARGV: position (the minimum of ZRANGEBYLEX), number of products, maximum life in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.pcall('ZRANGEBYLEX', KEYS[1], '-', '+', 'LIMIT', 0, 1)
if head.err or not head[1] then -- a value of another type, or none
  return {0, '', now}
end
local ends, large = string.match(head[1], '^!(%d+) (%a*)$')
ends = tonumber(ends)
if not ends then
  return {0, '', now}
end
if ends <= now or ends > now + tonumber(ARGV[3]) then
  ends = 0
end
local result = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
table.insert(result, 1, now)
table.insert(result, 1, large)
table.insert(result, 1, ends)
return result
