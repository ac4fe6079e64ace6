-- Takes a token from each bucket, or from none where one that must have one has none.
--
-- KEYS: buckets. ARGV, four for each: what comes back in a period, the period in microseconds, the most there may be, and whether a token
-- is a must. Returns for each bucket the level that it has now, in units of which a token costs as many as the period has microseconds;
-- or, where there was no token, or another bucket kept all from being touched, minus one less that.
--
-- A bucket is "level time period"; a full one is none. All numbers are whole and below 2^53.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local levels, enough = {}, true
for i = 1, #KEYS do
  local count, period, most = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
  local full = most * period
  local level = full
  local value = redis.call('GET', KEYS[i])
  if value then
    local was, at, cost = string.match(value, '^(%d+) (%d+) (%d+)$')
    if was then
      level, cost = tonumber(was), tonumber(cost)
      if cost ~= period then -- the rate has changed: as many requests are left, as far as there is room
        level = math.min(full, math.floor(level / cost * period))
      end
      local gone = math.max(0, now - tonumber(at))
      if gone > (full - level) / count then
        level = full
      else
        level = math.min(full, level + gone * count)
      end
    end
  end
  levels[i] = level
  if level < period and ARGV[4 * i] == '1' then
    enough = false
  end
end
for i = 1, #KEYS do
  local count, period, most = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
  if enough and levels[i] >= period then
    local level = levels[i] - period
    levels[i] = level
    local missing = most * period - level
    redis.call('SET', KEYS[i], string.format('%.0f %.0f %.0f', level, now, period), 'PX', string.format('%.0f', math.ceil(missing / count / 1000) + 1000))
  else
    levels[i] = -levels[i] - 1
  end
end
return levels
