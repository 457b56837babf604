/**
 * The scripts that run in Redis, each as one atomic step. They are idempotent, because a node repeats a script if it
 * has not received the reply.
 *
 * The fields of a session's hash have short names, because Redis keeps them for each session. See `StoredSession`:
 * `t` tokenHash, `d` dialect unless it is duplex, `p` principal, `o` owner, `e` epoch, `q` sequence, `r` received,
 * `h` handled, `a` checkpoint.acknowledged, `b` checkpoint.position, `g` checkpoint.rooms, `i` checkpoint.logStart,
 * `s` subprotocol, `k` acknowledged in a POST at another node, `c` close, `x` closedByClient, `y` lastNumbers,
 * `v` bytes of the unhandled messages.
 * Dart dialect: `n` number of the next message ('?' if the first is unknown), `f` the first number, `z` bytes that wait.
 */

/** `create` writes the fields of a new session. The first number may be '?'; subprotocol and principal may be ''. */
const CREATE = `
local function create(epoch, token, dialect, position, node, firstNumber, subprotocol, principal)
  redis.call('HSET', KEYS[1], 't', token, 'b', position, 'o', node, 'e', epoch)
  if dialect ~= 'duplex' then redis.call('HSET', KEYS[1], 'd', dialect, 'n', firstNumber) end
  if subprotocol ~= '' then redis.call('HSET', KEYS[1], 's', subprotocol) end
  if principal ~= '' then redis.call('HSET', KEYS[1], 'p', principal) end
end`;

/** KEYS: session. ARGV: the arguments of `create` from the token hash on. */
export const OPEN = `${CREATE}
local token = redis.call('HGET', KEYS[1], 't')
if token then return token == ARGV[1] and 1 or 0 end
create('1', unpack(ARGV))
return 1`;

/**
 * KEYS: session, log, unhandled, state. ARGV: epoch, number of messages that the owner has received, the arguments of
 * `create` from the token hash on.
 */
export const REPLACE = `${CREATE}
local found = redis.call('HMGET', KEYS[1], 'o', 'e', 'h', 'z', 'n', 't', 'f')
if found[6] == ARGV[3] then return 1 end
if found[1] ~= ARGV[6] or found[2] ~= ARGV[1] then return 0 end
redis.call('LTRIM', KEYS[3], ARGV[2] - (found[3] or 0), -1)
redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
create(string.format('%.0f', ARGV[1] + 1), unpack(ARGV, 3))
local unread, bytes = redis.call('LRANGE', KEYS[3], 0, -1), 0
for _, message in ipairs(unread) do bytes = bytes + #message end
redis.call('HSET', KEYS[1], 'r', #unread, 'v', string.format('%.0f', bytes), 'z', found[4] or 0)
if #unread > 0 and found[5] ~= '?' then -- the numbers of these messages are known
  redis.call('HSET', KEYS[1], 'n', found[5], 'f', found[7] or 0)
end
return 1`;

/** KEYS: session, log, unhandled, state, waiting. ARGV: token hash, epoch, node. */
export const CLAIM = `
local found = redis.call('HMGET', KEYS[1], 't', 'e')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return false end
redis.call('HINCRBY', KEYS[1], 'e', 1)
redis.call('HSET', KEYS[1], 'o', ARGV[3])
return {
  redis.call('HGETALL', KEYS[1]),
  redis.call('LRANGE', KEYS[2], 0, -1),
  redis.call('LRANGE', KEYS[3], 0, -1),
  redis.call('GET', KEYS[4]) or '',
  redis.call('HGETALL', KEYS[5])
}`;

/** `push` appends some of the values to a list, a thousand in each call: one call for each would take ten times as long. */
const PUSH = `
local function push(key, values, first, last)
  for index = first, last, 1000 do
    redis.call('RPUSH', key, unpack(values, index, math.min(index + 999, last)))
  end
end`;

/**
 * KEYS: session, log, unhandled, state. ARGV: node, epoch, sequence, received, handled, acknowledged, position, rooms,
 * index of the first entry that the log keeps, close or '', state or '-', number of the first message, number of
 * messages, index of the first new entry of the log, messages, new entries.
 */
export const COMMIT = `${PUSH}
local found = redis.call('HMGET', KEYS[1], 'o', 'e', 'q', 'r', 'h', 'i', 'v')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return false end
local oldReceived, oldHandled = tonumber(found[4] or '0'), tonumber(found[5] or '0')
local sequence = tonumber(found[3] or '0')
if tonumber(ARGV[3]) <= sequence then return oldReceived end
if tonumber(ARGV[3]) > sequence + 1 then return -1 end
local received, handled = tonumber(ARGV[4]), tonumber(ARGV[5])
local firstMessage, firstEntry = 15, 15 + ARGV[13]
local start = tonumber(found[6] or '0')
local knownEntries = start + redis.call('LLEN', KEYS[2]) - ARGV[14]
local knownMessages = math.max(oldReceived, handled) - ARGV[12]
if knownEntries < 0 or knownMessages < 0 then return -1 end
push(KEYS[2], ARGV, firstEntry + knownEntries, #ARGV)
if tonumber(ARGV[9]) > start then redis.call('LTRIM', KEYS[2], ARGV[9] - start, -1) end
local bytes = tonumber(found[7] or '0')
if handled >= oldReceived then
  bytes = 0
elseif handled > oldHandled then
  local removed = redis.call('LRANGE', KEYS[3], 0, handled - oldHandled - 1)
  for _, message in ipairs(removed) do bytes = bytes - #message end
end
if handled > oldHandled and oldReceived > oldHandled then
  redis.call('LTRIM', KEYS[3], handled - oldHandled, -1)
end
push(KEYS[3], ARGV, firstMessage + knownMessages, firstEntry - 1)
for index = firstMessage + knownMessages, firstEntry - 1 do bytes = bytes + #ARGV[index] end
if oldReceived > received then received = oldReceived end
redis.call('HSET', KEYS[1], 'q', ARGV[3], 'r', string.format('%.0f', received), 'h', ARGV[5],
  'a', ARGV[6], 'b', ARGV[7], 'g', ARGV[8], 'i', ARGV[9])
if bytes > 0 then redis.call('HSET', KEYS[1], 'v', string.format('%.0f', bytes))
elseif found[7] then redis.call('HDEL', KEYS[1], 'v') end
if ARGV[10] ~= '' then redis.call('HSET', KEYS[1], 'c', ARGV[10]) end
if ARGV[11] == '' then redis.call('DEL', KEYS[4])
elseif ARGV[11] ~= '-' then redis.call('SET', KEYS[4], ARGV[11]) end
return received`;

/**
 * KEYS: session, unhandled. ARGV: token hash, dialect, principal or '', number of the first message, acknowledged,
 * close or '', limits of the number and of the bytes of the unhandled messages, channel without the node, notification,
 * messages.
 */
export const TAKE = `${PUSH}
local found = redis.call('HMGET', KEYS[1], 't', 'r', 'c', 'o', 'k', 'd', 'p', 'v')
local isOwn = found[1] == ARGV[1] and (found[6] or 'duplex') == ARGV[2] and (found[7] or '') == ARGV[3]
if not isOwn then return {'unknown-session'} end
local received = tonumber(found[2] or '0')
local text = string.format('%.0f', received)
if found[3] and cjson.decode(found[3]).isClosed then return {'closed', text, found[3]} end
local known = received - tonumber(ARGV[4])
if known < 0 then return {'out-of-window', text} end
local first = 11 + known
if first <= #ARGV then
  local bytes = tonumber(found[8] or '0')
  if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[7]) or bytes >= tonumber(ARGV[8]) then return {'full'} end
  push(KEYS[2], ARGV, first, #ARGV)
  received = received + #ARGV - first + 1
  for index = first, #ARGV do bytes = bytes + #ARGV[index] end
  text = string.format('%.0f', received)
  redis.call('HSET', KEYS[1], 'r', text, 'v', string.format('%.0f', bytes))
end
if tonumber(ARGV[5]) > tonumber(found[5] or '0') then redis.call('HSET', KEYS[1], 'k', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'x', ARGV[6]) end
if found[4] and found[4] ~= '' then redis.call('PUBLISH', ARGV[9] .. found[4], ARGV[10]) end
return {'taken', text}`;

/**
 * `append` records a message. `record` records one whose number is `next`, a string, and those that waited for it.
 * KEYS as in TAKE_MESSAGE.
 */
const RECORD_IN_ORDER = `
local function append(message)
  redis.call('RPUSH', KEYS[2], message)
  redis.call('HINCRBY', KEYS[1], 'r', 1)
  redis.call('HINCRBY', KEYS[1], 'v', #message)
end
local function record(message, next)
  while message do
    if message ~= '' then append(message) end
    next = string.format('%.0f', next + 1)
    message = redis.call('HGET', KEYS[3], next)
    if message then
      redis.call('HDEL', KEYS[3], next)
      redis.call('HINCRBY', KEYS[1], 'z', -#message)
    end
  end
  redis.call('HSET', KEYS[1], 'n', next)
  return next
end`;

/**
 * KEYS: session, unhandled, waiting. ARGV: principal or '', number or '', message, window, limits of the number and of the
 * bytes of the unhandled messages, channel, notification. The second limit applies to the messages that wait as well.
 */
export const TAKE_MESSAGE = `${RECORD_IN_ORDER}
local found = redis.call('HMGET', KEYS[1], 'd', 'p', 'c', 'o', 'n', 'f', 'z', 'v')
if found[1] ~= 'dart' or (found[2] or '') ~= ARGV[1] then return {'unknown-session'} end
local number, message, next = ARGV[2], ARGV[3], found[5]
if next == '?' and number == '0' then next = '0' end
local function reply(outcome) return {outcome, next == '?' and '0' or next, found[3]} end
if found[3] and cjson.decode(found[3]).isClosed then return reply('closed') end
local isFull = message ~= '' and (
  redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[5]) or tonumber(found[8] or '0') >= tonumber(ARGV[6]))
if number == '' then
  if isFull then return {'full'} end
  append(message)
elseif tonumber(number) < tonumber(found[6] or '0') then
  return reply('out-of-window')
elseif next ~= '?' and tonumber(number) < tonumber(next) or redis.call('HEXISTS', KEYS[3], number) == 1 then
  return reply('taken')
elseif isFull then
  return {'full'}
elseif number == next then
  next = record(message, next)
else
  local distance = next == '?' and redis.call('HLEN', KEYS[3]) + 1 or number - next
  if distance > tonumber(ARGV[4]) or (found[7] or 0) + #message > tonumber(ARGV[6]) then
    return reply('out-of-window')
  end
  redis.call('HSET', KEYS[3], number, message)
  redis.call('HINCRBY', KEYS[1], 'z', #message)
end
if found[4] ~= '' then redis.call('PUBLISH', ARGV[7] .. found[4], ARGV[8]) end
return reply('taken')`;

/** KEYS: session, unhandled, waiting. ARGV: node, epoch. */
export const START_NUMBERING = `${RECORD_IN_ORDER}
local found = redis.call('HMGET', KEYS[1], 'o', 'e', 'n')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] or found[3] ~= '?' then return 0 end
local first
for _, number in ipairs(redis.call('HKEYS', KEYS[3])) do
  if not first or tonumber(number) < tonumber(first) then first = number end
end
if not first then return 0 end
local message = redis.call('HGET', KEYS[3], first)
redis.call('HDEL', KEYS[3], first)
redis.call('HINCRBY', KEYS[1], 'z', -#message)
redis.call('HSET', KEYS[1], 'f', first)
record(message, first)
return 1`;

/** KEYS: session, unhandled, waiting. ARGV: node, epoch, first, most bytes of the messages that wait. */
export const READ = `
local found = redis.call('HMGET', KEYS[1], 'o', 'e', 'h', 'k', 'x', 'n', 'f', 'z', 'q')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return false end
local skipped = math.max(0, tonumber(ARGV[3]) - tonumber(found[3] or '0'))
local numbering
if found[6] then
  local count = redis.call('HLEN', KEYS[3])
  local isShort = (found[8] or 0) + 16 * count <= tonumber(ARGV[4]) -- a number has up to 16 characters
  numbering = {found[6], found[7] or '0', count, isShort and redis.call('HGETALL', KEYS[3]) or nil}
end
return {
  found[3] or '0', found[4] or '0', found[5] or '', redis.call('LRANGE', KEYS[2], skipped, -1),
  found[9] or '0', numbering
}`;

/** KEYS: session. ARGV: node, epoch, next owner or ''. */
export const RELEASE = `
local found = redis.call('HMGET', KEYS[1], 'o', 'e')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'o', ARGV[3])
return 1`;

/**
 * KEYS: session, log, unhandled, state, waiting. ARGV: node, epoch, token hash. Returns 0 if the session has another
 * owner, epoch or token.
 */
export const REMOVE = `
local found = redis.call('HMGET', KEYS[1], 'o', 'e', 't')
if not found[1] then return 1 end
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] or found[3] ~= ARGV[3] then return 0 end
return redis.call('DEL', unpack(KEYS))`;

/**
 * KEYS: session, log, unhandled, state, waiting. ARGV: epoch, sequence, state, JSON arrays: of fields, of the log, of
 * messages, of numbers and messages that wait.
 */
export const RESTORE = `${PUSH}
local found = redis.call('HMGET', KEYS[1], 'e', 'q')
local epoch = tonumber(found[1] or '0')
if epoch > tonumber(ARGV[1]) then return 0 end
if epoch == tonumber(ARGV[1]) and tonumber(found[2] or '0') >= tonumber(ARGV[2]) then return 0 end
redis.call('DEL', unpack(KEYS))
redis.call('HSET', KEYS[1], unpack(cjson.decode(ARGV[4])))
local log, unhandled = cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
push(KEYS[2], log, 1, #log)
push(KEYS[3], unhandled, 1, #unhandled)
if ARGV[3] ~= '' then redis.call('SET', KEYS[4], ARGV[3]) end
local waiting = cjson.decode(ARGV[7])
for index = 1, #waiting, 2 do redis.call('HSET', KEYS[5], waiting[index], waiting[index + 1]) end
return 1`;

/**
 * KEYS: broadcasts, nodes, numbers of the nodes' last broadcasts. ARGV: node, lease in milliseconds, position, id for a
 * new generation.
 */
export const BEAT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'generation', 'position', 'born', 'base')
local generation, position, born = found[1], tonumber(found[2] or '0'), tonumber(found[3] or '0')
local base = found[4] or '0'
if not generation or position < tonumber(ARGV[3]) then
  position = math.max(now, tonumber(ARGV[3]) + 1000000)
  generation, born, base = ARGV[4], now, string.format('%.0f', position)
  redis.call('HSET', KEYS[1], 'generation', generation, 'position', string.format('%.0f', position),
    'born', string.format('%.0f', born), 'base', base)
end
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
local senders = redis.call('HGETALL', KEYS[3])
return {
  generation, string.format('%.0f', position), base, string.format('%.0f', now - born),
  redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now)), senders
}`;

/**
 * KEYS: broadcasts, their log, numbers as in BEAT. ARGV: node, number of the first broadcast, number of broadcasts to
 * keep, channel, generation, broadcasts.
 */
export const BROADCAST = `
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[5] then return 0 end
local last = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
for index = 6, #ARGV do
  local number = tonumber(ARGV[2]) + index - 6
  if number > last then
    local position = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'position', 1))
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], position .. '-0', 'b', ARGV[index])
    redis.call('PUBLISH', ARGV[4], ARGV[5] .. ' ' .. position .. ' ' .. ARGV[index])
    last = number
  end
end
redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f', last))
return 1`;

/** KEYS: broadcasts, their log. ARGV: the position after which to read. */
export const READ_BROADCASTS = `
local found = redis.call('HMGET', KEYS[1], 'position', 'generation')
local position, generation = found[1], found[2]
if not generation then return false end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
return {
  generation, oldest[1] and oldest[1][1] or string.format('%.0f', position + 1),
  redis.call('XRANGE', KEYS[2], string.format('%.0f', ARGV[1] + 1), '+')
}`;
