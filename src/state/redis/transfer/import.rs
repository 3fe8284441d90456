//! Import of a file into the store. It merges: what is there stays or gets stricter, so that it can be repeated.

use std::path::Path;

use redis::{Cmd, Pipeline, cmd};
use tokio::task::JoinSet;

use super::{PAGE, PATIENCE, RedisSettings, Transfer, patiently, told};
use crate::customer::Identifier;
use crate::hex::hex;
use crate::state::archive::{ArchiveFault, ArchiveReader, ArchiveRecord, Contents};
use crate::state::codec::StoredRecord;
use crate::state::customer_logins::LoginKind;
use crate::state::login_lockout::{AttemptKey, Failures, NOBODY};
use crate::state::redis::connection::RedisConnection;
use crate::state::redis::fields::{ends, family_fields, session_fields};
use crate::state::redis::revocation_rules::PutRule;
use crate::state::redis::settings::RedisTopology;
use crate::state::session::{LoginId, SessionDigest};

/// Logins within one second whose order is kept, as a power of two: fewer than a second has microseconds.
const ORDER: u32 = 19;

/// Puts a hash if there is none: its expiry, its last use or nothing, and its fields. An existing one only learns of a
/// later use.
const PUT_NEW: &str = r"
    if redis.call('EXISTS', KEYS[1]) == 0 then
        redis.call('HSET', KEYS[1], unpack(ARGV, 3))
        return redis.call('EXPIREAT', KEYS[1], ARGV[1])
    end
    local seen = redis.call('HGET', KEYS[1], 'l')
    if ARGV[2] ~= '' and seen and tonumber(seen) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'l', ARGV[2]) end
    return 0";

/// Merges a failure counter with an existing one: the larger number, the later times, and of different spellings none.
const MERGE_FAILURES: &str = r"
    local known = redis.call('HMGET', KEYS[1], 'n', 'f', 'l', 's', 'w')
    local function larger(at)
        local one, other = known[at] or '0', ARGV[at]
        if tonumber(one) > tonumber(other) then return one else return other end
    end
    local spelling, who = known[4] or '0', known[5] or ARGV[5]
    if spelling == '0' then spelling = ARGV[4]
    elseif ARGV[4] ~= '0' and ARGV[4] ~= spelling then spelling = '18446744073709551615' end
    local forgotten = larger(2)
    redis.call('HSET', KEYS[1], 'n', larger(1), 'f', forgotten, 'l', larger(3), 's', spelling)
    if who ~= '' then redis.call('HSET', KEYS[1], 'w', who) end
    return redis.call('PEXPIREAT', KEYS[1], forgotten)";

/// Puts a count, unless there is a larger one.
const PUT_COUNT: &str = r"
    if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
    return redis.call('EXPIREAT', KEYS[1], ARGV[2])";

/// The outcome of an import.
#[derive(Debug)]
pub struct Imported {
    /// Time of the export, in seconds since 1970.
    pub made: u64,
    /// Number of records.
    pub count: u64,
}

/// Commands about one key.
type OfKey = Vec<Cmd>;

/// Imports a file: into a store without logins, unless it `merges`. `now` is in seconds since 1970.
///
/// # Errors
/// [`ArchiveFault`]: nothing was written, or [`ArchiveFault::BrokenOff`].
pub async fn import(settings: RedisSettings, path: &Path, merges: bool, now: u64) -> Result<Imported, ArchiveFault> {
    // Read twice: of a file that is not whole nothing is written.
    let contents = Contents::read(path)?;
    let mut transfer = Transfer::open(settings).await?;
    if !merges {
        transfer.has_no_logins().await?;
    }
    let (mut done, count) = (0, contents.count);
    let put = transfer.put_all(path, &contents, now, &mut done).await;
    put.map_err(|why| ArchiveFault::BrokenOff { done, count, why: why.to_string() })?;
    Ok(Imported { made: contents.made, count })
}

impl Transfer {
    async fn has_no_logins(&mut self) -> Result<(), ArchiveFault> {
        let (mut sessions, mut families) = (0, 0);
        for mut node in self.nodes().await? {
            let mut cursor = 0;
            loop {
                let (next, names) = self.names(&mut node, cursor).await?;
                let count = |letter: &str| names.iter().filter(|name| name.starts_with(letter)).count();
                sessions += count("s:");
                families += count("f:");
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        if sessions + families == 0 {
            return Ok(());
        }
        let rules = patiently(self.inner.look(&mut self.connection)).await?.live;
        Err(ArchiveFault::NotEmpty { sessions, families, rules })
    }

    async fn put_all(
        &mut self,
        path: &Path,
        contents: &Contents,
        now: u64,
        done: &mut u64,
    ) -> Result<(), ArchiveFault> {
        // First what ends logins, so that none is good in between. Gateways that run hear of it.
        self.inner.revocations.see(contents.highest);
        let live = contents.rules.iter().filter(|rule| now < rule.until);
        let rules: Vec<_> = live.map(|rule| (rule.to_string(), rule.number.unwrap_or_default())).collect();
        for some in rules.chunks(PAGE) {
            patiently(self.inner.put_rules(&mut self.connection, some, PutRule::Announced)).await?;
        }
        patiently(self.inner.keep_number(&mut self.connection)).await?;
        let (mut reader, _) = ArchiveReader::open(path)?;
        let mut page = Vec::new();
        while let Some(ArchiveRecord { kept, .. }) = reader.record()? {
            if !kept.is_over(now) {
                self.commands(&kept, &mut page);
            }
            if page.len() >= PAGE {
                self.put(std::mem::take(&mut page)).await?;
                *done = reader.count();
            }
        }
        self.put(page).await?;
        self.wait_for_replicas().await
    }

    /// The commands that write a record, key by key.
    fn commands(&self, kept: &StoredRecord, page: &mut Vec<OfKey>) {
        let prefix = &self.inner.settings.prefix;
        match kept {
            // They are there.
            StoredRecord::Rule(_) | StoredRecord::Highest(_) => {}
            StoredRecord::Session(digest, session) => {
                let key = self.inner.session_key(digest);
                let mut put = eval(PUT_NEW, &key);
                put.arg(ends(session)).arg(session.last_seen).arg(session_fields(session));
                page.push(vec![put]);
                let began = (session.issued_at, session.login);
                page.push(self.join(LoginKind::Session, &session.customer, digest, began, ends(session)));
            }
            StoredRecord::Family(digest, family) => {
                let mut put = eval(PUT_NEW, &self.inner.family_key(digest));
                put.arg(family.expires_at).arg("").arg(family_fields(family));
                page.push(vec![put]);
                let began = (family.issued_at, LoginId::of(digest));
                page.push(self.join(LoginKind::Family, &family.customer, digest, began, family.expires_at));
            }
            StoredRecord::Failures(key, failures) => self.merge_failures(key, *failures, page),
            StoredRecord::Right(key, until) => {
                let mut set = cmd("SET");
                set.arg(self.inner.right_key(key)).arg(1).arg("NX").arg("PXAT").arg(*until);
                page.push(vec![set]);
            }
            StoredRecord::Count(name, period, count) => {
                let mut put = eval(PUT_COUNT, &format!("{prefix}q:{}:{}:{name}", period.as_str(), count.begun));
                put.arg(count.used).arg(period.bounds(count.begun).1);
                page.push(vec![put]);
            }
            StoredRecord::Used(id, until) => {
                let key = format!("{prefix}u:{}", hex(id));
                let mut set = cmd("SET");
                set.arg(&key).arg(1).arg("NX").arg("EXAT").arg(*until);
                page.push(vec![set, expire("EXPIREAT", &key, *until, "GT")]);
            }
        }
    }

    /// Adds a login to its customer's, in the order in which they began.
    fn join(
        &self,
        kind: LoginKind,
        customer: &Identifier,
        digest: &SessionDigest,
        (issued_at, login): (u64, LoginId),
        ends: u64,
    ) -> OfKey {
        let key = self.inner.customer_key(kind, customer);
        let mut add = cmd("ZADD");
        let began = issued_at.saturating_mul(1_000_000).saturating_add(login.low_bits(ORDER));
        add.arg(&key).arg("NX").arg(began).arg(hex(digest));
        vec![add, expire("EXPIREAT", &key, ends, "NX"), expire("EXPIREAT", &key, ends, "GT")]
    }

    fn merge_failures(&self, key: &AttemptKey, failures: Failures, page: &mut Vec<OfKey>) {
        let Failures { count, forgotten_at, locked_until, spelling, who } = failures;
        let name = if who == NOBODY { String::new() } else { hex(&who) };
        let mut merge = eval(MERGE_FAILURES, &self.inner.attempt_key(key));
        merge.arg(count).arg(forgotten_at).arg(locked_until).arg(spelling).arg(name);
        page.push(vec![merge]);
        if who != NOBODY {
            let index = self.inner.name_key(&who);
            let mut add = cmd("SADD");
            add.arg(&index).arg(hex(key));
            let expires = ["NX", "GT"].map(|when| expire("PEXPIREAT", &index, forgotten_at, when));
            page.push([vec![add], expires.to_vec()].concat());
        }
    }

    /// Writes a page: at once, or in a cluster key by key, as they are in different slots.
    async fn put(&self, page: Vec<OfKey>) -> Result<(), ArchiveFault> {
        if matches!(self.inner.settings.kind, RedisTopology::Cluster(_)) {
            let mut writing = JoinSet::new();
            for commands in page {
                writing.spawn(run(self.connection.clone(), commands));
            }
            while let Some(written) = writing.join_next().await {
                written.map_err(|error| told(&error))??;
            }
            return Ok(());
        }
        run(self.connection.clone(), page.concat()).await
    }

    async fn wait_for_replicas(&mut self) -> Result<(), ArchiveFault> {
        let wanted = self.inner.settings.replicas;
        if wanted == 0 {
            return Ok(());
        }
        let mut wait = cmd("WAIT");
        wait.arg(wanted).arg(u64::try_from((PATIENCE / 2).as_millis()).unwrap_or(u64::MAX));
        let have: u32 = patiently(wait.query_async(&mut self.connection)).await?;
        if have < wanted { Err(told(&format!("{have} replicas have it, and not {wanted}"))) } else { Ok(()) }
    }
}

async fn run(mut connection: RedisConnection, commands: Vec<Cmd>) -> Result<(), ArchiveFault> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command).ignore();
    }
    patiently(pipeline.query_async(&mut connection)).await
}

fn eval(script: &str, key: &str) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(script).arg(1).arg(key);
    eval
}

fn expire(command: &str, key: &str, at: u64, when: &str) -> Cmd {
    let mut expire = cmd(command);
    expire.arg(key).arg(at).arg(when);
    expire
}
