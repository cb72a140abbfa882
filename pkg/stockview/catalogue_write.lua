-- Replaces the catalogue, unless its life is over or the cache has a later one.
-- KEYS: catalogue. ARGV: the time in ms until which it says something, "large" or "", maximum life in ms, TTL of the key in
-- ms, products in order.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends, latest = tonumber(ARGV[1]), now + tonumber(ARGV[3])
if ends <= now or ends > latest then
  return 0
end
local head = redis.pcall('ZRANGEBYLEX', KEYS[1], '-', '+', 'LIMIT', 0, 1)
local current = not head.err and head[1] and tonumber(string.match(head[1], '^!(%d+) '))
if current and current >= ends and current <= latest then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], 0, '!' .. ARGV[1] .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
for i = 5, #ARGV do
  redis.call('ZADD', KEYS[1], 0, ARGV[i])
end
return 1
