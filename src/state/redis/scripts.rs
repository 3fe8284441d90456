//! Lua scripts for what must happen atomically in the store, each on one key or one slot.

use redis::Script;

pub(super) struct Scripts {
    /// Puts rules into the log. A subject has one entry, the strictest of all put for it, and a stricter one gets the
    /// next number, or the one that it had before. Returns the numbers; 0 for one that was to be put only if it stands.
    pub(super) put_rules: Script,
    /// Removes rules that expired long ago, by the clock of the store. Returns the last number, the number of rules, of
    /// those with a noted expiry and of overdue ones, and the time in seconds.
    pub(super) look: Script,
    /// Notes the use of a session that still exists.
    pub(super) touch: Script,
    /// Rotates a refresh token: [`crate::state::refresh_token::Family::hand_in`], by the clock of the store.
    pub(super) rotate: Script,
    /// Begins the grace of a refresh token: its holder gets the successor.
    pub(super) answered: Script,
    /// Adds a login of a customer. Returns nothing if there are not too many, and otherwise all of them, oldest first.
    pub(super) join: Script,
    /// Counts a failed attempt: [`crate::state::login_lockout::Failures::and_another`]. Returns whether it counts.
    pub(super) fail: Script,
    /// Forgets the failures of a name, if spelled alike; returns their number.
    pub(super) forgive: Script,
    /// Subtracts so many failures from a network.
    pub(super) excuse: Script,
    /// Takes calls of a rate limit: the generic cell rate algorithm in whole microseconds, by the clock of the store.
    pub(super) take: Script,
    /// Counts calls towards a quota.
    pub(super) count: Script,
}

impl Scripts {
    #[expect(clippy::too_many_lines, reason = "a flat table of scripts")]
    pub(super) fn new() -> Self {
        Self {
            put_rules: Script::new(
                r"
                local rules, count, of, ends = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
                local function later(one, other)
                    if tonumber(one) > tonumber(other) then return one else return other end
                end
                local time = redis.call('TIME')
                local now = time[1] * 1000000 + time[2]
                local had = tonumber(redis.call('GET', count) or '0')
                local last = math.max(had, tonumber(ARGV[2]))
                local numbers, forever = {}, '18446744073709551615'
                for at = 4, #ARGV, 2 do
                    local given, text = tonumber(ARGV[at]), ARGV[at + 1]
                    local kind, since, until_, name = string.match(text, '^(%S+) (%d+) (%d+) (.*)$')
                    local subject = kind .. ' ' .. name
                    -- What says no number goes by the later of the clocks.
                    if given == 0 and since ~= forever then since = later(since, time[1]) end
                    text = string.format('%s %s %s %s', kind, since, until_, name)
                    local stands = redis.call('ZSCORE', rules, text)
                    local known = redis.call('HGET', of, subject)
                    local number = known and tonumber(redis.call('ZSCORE', rules, known) or nil)
                    local member = text
                    if number then
                        local _, its_since, its_until = string.match(known, '^(%S+) (%d+) (%d+) ')
                        since, until_ = later(its_since, since), later(its_until, until_)
                        member = string.format('%s %s %s %s', kind, since, until_, name)
                    end
                    -- Whatever was issued since the same was said before is to end too.
                    local again = given == 0 and since ~= forever
                    if ARGV[3] == '1' and not stands then
                        number = 0
                    elseif number and member == known and not again then
                        -- Another version may have put it beside the one that holds.
                        if stands and text ~= known then redis.call('ZREM', rules, text) end
                    else
                        local is_new = true
                        if stands and not number then
                            number, is_new = tonumber(stands), false
                        elseif given > (number or 0) then
                            number = given
                        else
                            number = math.max(last + 1, now)
                        end
                        if known then redis.call('ZREM', rules, known) redis.call('ZREM', ends, known) end
                        if stands then redis.call('ZREM', rules, text) end
                        redis.call('ZADD', rules, string.format('%.0f', number), member)
                        redis.call('ZADD', ends, until_, member)
                        redis.call('HSET', of, subject, member)
                        last = math.max(last, number)
                        if is_new and ARGV[1] ~= '' then
                            redis.call('PUBLISH', ARGV[1], string.format('numbered %.0f %s', number, member))
                            redis.call('PUBLISH', ARGV[1], 'rule ' .. member)
                        end
                    end
                    table.insert(numbers, string.format('%.0f', number))
                end
                if last > had then redis.call('SET', count, string.format('%.0f', last)) end
                return numbers",
            ),
            look: Script::new(
                r"
                local rules, count, of, ends = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
                local now = tonumber(redis.call('TIME')[1])
                local due = string.format('%.0f', now - ARGV[1])
                for _, member in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', due, 'LIMIT', 0, ARGV[2])) do
                    local kind, name = string.match(member, '^(%S+) %d+ %d+ (.*)$')
                    local subject = kind .. ' ' .. name
                    if redis.call('HGET', of, subject) == member then redis.call('HDEL', of, subject) end
                    redis.call('ZREM', rules, member)
                    redis.call('ZREM', ends, member)
                end
                return {tonumber(redis.call('GET', count) or '0'), redis.call('ZCARD', rules),
                    redis.call('ZCARD', ends), redis.call('ZCOUNT', ends, '-inf', due), now}",
            ),
            touch: Script::new(
                r"
                local seen = redis.call('HGET', KEYS[1], 'l')
                if seen and tonumber(seen) < tonumber(ARGV[1]) then
                    redis.call('HSET', KEYS[1], 'l', ARGV[1])
                    redis.call('EXPIREAT', KEYS[1], ARGV[2])
                end
                return 0",
            ),
            rotate: Script::new(
                r"
                local presented, call = ARGV[1], ARGV[2]
                local known = redis.call('HMGET', KEYS[1], 'd', 'p', 'g', 'r')
                local current, before, ends, unanswered = known[1], known[2], known[3], known[4]
                if not current then return {'unknown', {}} end
                if current == presented then
                    redis.call('HSET', KEYS[1], 'd', ARGV[3], 'p', presented, 'r', call)
                    redis.call('HDEL', KEYS[1], 'g')
                    return {'good', redis.call('HGETALL', KEYS[1])}
                end
                local time = redis.call('TIME')
                local now = time[1] * 1000 + math.floor(time[2] / 1000)
                if before ~= presented or not (unanswered or now < tonumber(ends or '0')) then
                    return {'reused', redis.call('HGETALL', KEYS[1])}
                end
                for at = 3, #ARGV do
                    if ARGV[at] == current then
                        redis.call('HSET', KEYS[1], 'r', call)
                        return {'good', redis.call('HGETALL', KEYS[1])}
                    end
                end
                return {'replaced', {}}",
            ),
            answered: Script::new(
                r"
                if redis.call('HGET', KEYS[1], 'r') ~= ARGV[1] then return 0 end
                redis.call('HDEL', KEYS[1], 'r')
                local time = redis.call('TIME')
                local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
                return redis.call('HSETNX', KEYS[1], 'g', string.format('%.0f', ends))",
            ),
            join: Script::new(
                r"
                local most, expires = tonumber(ARGV[2]), ARGV[3]
                local time = redis.call('TIME')
                redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[1])
                redis.call('EXPIREAT', KEYS[1], expires, 'NX')
                redis.call('EXPIREAT', KEYS[1], expires, 'GT')
                if redis.call('ZCARD', KEYS[1]) <= most then return {} end
                return redis.call('ZRANGE', KEYS[1], 0, most + tonumber(ARGV[4]))",
            ),
            fail: Script::new(
                r"
                local free, delay, longest, now =
                    tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
                local spelling = ARGV[5]
                local known = redis.call('HMGET', KEYS[1], 'n', 'f', 'l', 's')
                local count, forgotten, locked =
                    tonumber(known[1] or '0'), tonumber(known[2] or '0'), tonumber(known[3] or '0')
                if now < locked then return 0 end
                if now >= forgotten then count = 0 end
                local before = known[4] or '0'
                if count > 0 and before ~= '0' and before ~= spelling then spelling = '18446744073709551615' end
                count = count + 1
                locked = 0
                if count > free then locked = now + math.min(delay * 2 ^ math.min(count - free - 1, 40), longest) end
                forgotten = now + longest * 2 + delay
                redis.call('HSET', KEYS[1], 'n', string.format('%.0f', count), 'f', string.format('%.0f', forgotten),
                    'l', string.format('%.0f', locked), 's', spelling)
                if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'w', ARGV[6]) end
                redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', forgotten))
                return 1",
            ),
            forgive: Script::new(
                r"
                local known = redis.call('HMGET', KEYS[1], 'n', 'f', 's')
                local spelling = known[3] or '0'
                if spelling ~= '0' and spelling ~= ARGV[2] then return 0 end
                redis.call('DEL', KEYS[1])
                if tonumber(ARGV[1]) >= tonumber(known[2] or '0') then return 0 end
                return tonumber(known[1] or '0')",
            ),
            excuse: Script::new(
                r"
                local count = redis.call('HGET', KEYS[1], 'n')
                if not count then return 0 end
                count = math.max(tonumber(count) - tonumber(ARGV[1]), 0)
                redis.call('HSET', KEYS[1], 'n', string.format('%.0f', count))
                return count",
            ),
            take: Script::new(
                r"
                local time = redis.call('TIME')
                local now = time[1] * 1000000 + time[2]
                local each, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
                local empty = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
                local room = math.max(math.floor((burst * each - (empty - now)) / each), 0)
                local granted = math.min(wanted, room)
                local wait = 0
                if granted > 0 then
                    empty = empty + granted * each
                    redis.call('SET', KEYS[1], string.format('%.0f', empty), 'PX', math.ceil((empty - now) / 1000) + 1000)
                else
                    wait = empty + each - burst * each - now
                end
                return {granted, room - granted, wait, empty - now}",
            ),
            count: Script::new(
                r"
                local wanted, most = tonumber(ARGV[1]), tonumber(ARGV[2])
                local used = tonumber(redis.call('GET', KEYS[1]) or '0')
                local granted = math.max(math.min(wanted, most - used), 0)
                if granted > 0 then
                    used = redis.call('INCRBY', KEYS[1], granted)
                    redis.call('EXPIREAT', KEYS[1], ARGV[3])
                end
                return {granted, used}",
            ),
        }
    }
}
