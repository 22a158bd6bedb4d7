-- The steps of a keeper (`state/shared/keeper.rs`), each of them atomic. The header of `state/shared/redis/mod.rs` says
-- what is in which key. Nothing may be written before everything that could be wrong with what is there has been read:
-- what an error ends is not undone.
--
-- ARGV[1] is the step, the rest the step's own.

local values, names, expiries, usage, rooms = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- Of version and end, before the text of a value.
local HEAD = 16
-- How many values one step looks at or takes away: Redis does nothing else meanwhile.
local STEP_MAX = 500

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Eight bytes, the highest first.
local function pack(number)
  local bytes = ''
  for _ = 1, 8 do
    bytes = string.char(number % 256) .. bytes
    number = math.floor(number / 256)
  end
  return bytes
end

local function unpack_number(bytes)
  local number = 0
  for index = 1, 8 do
    number = number * 256 + (bytes:byte(index) or 0)
  end
  return number
end

-- What the tenant has, as numbers. Fails when it is none, or a key is something else than it should be.
local function used()
  redis.call('HLEN', values)
  redis.call('ZCARD', names)
  redis.call('ZCARD', expiries)
  redis.call('HLEN', rooms)
  local found = redis.call('HMGET', usage, 'keys', 'bytes', 'version')
  for index = 1, 3 do
    found[index] = tonumber(found[index] or 0)
    if not found[index] then
      return nil, redis.error_reply('ERR the usage is no number')
    end
  end
  return { keys = found[1], bytes = found[2], version = found[3] }
end

local function note(use)
  redis.call('HSET', usage, 'keys', math.max(use.keys, 0), 'bytes', math.max(use.bytes, 0), 'version', use.version)
end

-- A room has one more value that goes with it, or one less.
local function count_lasting(field, by)
  if field:sub(1, 1) ~= 'r' then
    return
  end
  local room = field:sub(2, (field:find('\255', 1, true) or 0) - 1)
  local count = (tonumber(redis.call('HGET', rooms, room) or 0) or 0) + by
  if count > 0 then
    redis.call('HSET', rooms, room, count)
  else
    redis.call('HDEL', rooms, room)
  end
end

-- Without the owner's kind, and the end of its name.
local function key_bytes(field)
  return #field - 2
end

local function take_away(use, field)
  local size = redis.call('HSTRLEN', values, field)
  redis.call('ZREM', names, field)
  local had_end = redis.call('ZREM', expiries, field) == 1
  if redis.call('HDEL', values, field) == 1 then
    use.keys = use.keys - 1
    use.bytes = use.bytes - key_bytes(field) - size + HEAD
    if not had_end then
      count_lasting(field, -1)
    end
  end
end

-- Takes away what is over. Returns whether there is more of it.
local function expire(use, time)
  local over = redis.call('ZRANGEBYSCORE', expiries, '-inf', time, 'LIMIT', 0, STEP_MAX)
  for _, field in ipairs(over) do
    take_away(use, field)
  end
  if #over > 0 then
    note(use)
  end
  return #over == STEP_MAX
end

local steps = {}

function steps.read()
  return { redis.call('HGET', values, ARGV[2]), now() }
end

-- The place, the version that is expected there, the end of what comes, all of what comes behind its version, and the
-- quota. No end: it is empty. Nothing comes: so is that.
function steps.replace()
  local use, wrong = used()
  if wrong then
    return wrong
  end
  local field, expected, ends, next = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  local is_more_over = expire(use, now())
  local before = redis.call('HGET', values, field)
  if (before and before:sub(1, 8) or '') ~= expected then
    return { 'conflict', 0 }
  end
  local keys, bytes = use.keys, use.bytes
  if before then
    keys, bytes = keys - 1, bytes - key_bytes(field) - #before + HEAD
  end
  if next ~= '' then
    keys, bytes = keys + 1, bytes + key_bytes(field) + #next - 8
  end
  local limit
  if keys > use.keys and keys > tonumber(ARGV[6]) then
    limit = 'keys'
  elseif bytes > use.bytes and bytes > tonumber(ARGV[7]) then
    limit = 'bytes'
  end
  if limit then
    return { is_more_over and 'again' or limit, 0 }
  end
  if before and not redis.call('ZSCORE', expiries, field) then
    count_lasting(field, -1)
  end
  use.keys, use.bytes = keys, bytes
  if next == '' then
    redis.call('HDEL', values, field)
    redis.call('ZREM', names, field)
    redis.call('ZREM', expiries, field)
    note(use)
    return { 'done', 0 }
  end
  use.version = use.version + 1
  redis.call('HSET', values, field, pack(use.version) .. next)
  redis.call('ZADD', names, 0, field)
  if ends == '' then
    redis.call('ZREM', expiries, field)
    count_lasting(field, 1)
  else
    redis.call('ZADD', expiries, ends, field)
  end
  note(use)
  return { 'done', use.version }
end

-- The first and the last of all, the first that is wanted, and how many.
function steps.keys()
  local use, wrong = used()
  if wrong then
    return wrong
  end
  if expire(use, now()) then
    return { 1, 0, {} }
  end
  local total = redis.call('ZLEXCOUNT', names, ARGV[2], ARGV[3])
  return { 0, total, redis.call('ZRANGEBYLEX', names, ARGV[4], ARGV[3], 'LIMIT', 0, ARGV[5]) }
end

function steps.expire()
  local use, wrong = used()
  if wrong then
    return wrong
  end
  return expire(use, now()) and 1 or 0
end

function steps.rooms()
  return redis.call('HKEYS', rooms)
end

-- Which rooms.
function steps.lasting()
  local use, wrong = used()
  if wrong then
    return wrong
  end
  local found = {}
  for index = 2, #ARGV do
    if redis.call('HEXISTS', rooms, ARGV[index]) == 1 then
      found[#found + 1] = ARGV[index]
    end
  end
  return { use.version, found }
end

-- Behind which place, up to which, and the newest version that goes. Returns the place where it is to go on.
function steps.purge()
  local use, wrong = used()
  if wrong then
    return wrong
  end
  local fields = redis.call('ZRANGEBYLEX', names, ARGV[2], ARGV[3], 'LIMIT', 0, STEP_MAX)
  for _, field in ipairs(fields) do
    local kept = not redis.call('ZSCORE', expiries, field) and redis.call('HGET', values, field)
    if kept and unpack_number(kept) <= tonumber(ARGV[4]) then
      take_away(use, field)
    end
  end
  note(use)
  return #fields == STEP_MAX and fields[#fields] or false
end

return steps[ARGV[1]]()
