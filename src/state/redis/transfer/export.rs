//! Export of the store into a file: the keys, node by node, and then the rules.

use std::collections::HashMap;
use std::path::Path;

use super::{PAGE, RedisSettings, Transfer, patiently, told};
use crate::hex::unhex;
use crate::state::LONGEST;
use crate::state::archive::{Archive, ArchiveFault};
use crate::state::codec::StoredRecord;
use crate::state::quota::{Count, Period};
use crate::state::redis::fields::{Fields, failures_in, family, session};
use crate::state::revocation::{Rule, Subject};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, Value, from_redis_value};

/// Rules read at once.
const RULES: usize = 5_000;

/// Name of no login. A rule about it keeps the highest number if no other record bears it.
const NO_LOGIN: &str = "0000000000000000";

/// Writes all of the store into a file; returns the number of records. `now` is in seconds since 1970. Changes
/// meanwhile may be missing, except the end of a login in the file: rules are read last, and in the order in which they
/// were given.
///
/// # Errors
/// [`ArchiveFault`]: there is no file.
pub async fn export(settings: RedisSettings, path: &Path, now: u64) -> Result<u64, ArchiveFault> {
    let mut transfer = Transfer::open(settings).await?;
    let mut archive = Archive::begin(path, now)?;
    let mut highest = 0;
    for mut node in transfer.nodes().await? {
        let mut cursor = 0;
        loop {
            let (next, names) = transfer.names(&mut node, cursor).await?;
            for some in names.chunks(PAGE) {
                for kept in transfer.read(&mut node, some).await?.iter().filter(|kept| !kept.is_over(now)) {
                    highest = highest.max(kept.number());
                    archive.put(kept)?;
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    let (rules, given) = transfer.rules().await?;
    for rule in rules {
        highest = highest.max(rule.number.unwrap_or_default());
        archive.put(&StoredRecord::Rule(rule))?;
    }
    if given > highest {
        let until = now.saturating_add(LONGEST);
        let rule = Rule { number: Some(given), ..Rule::new(Subject::Login(NO_LOGIN.into()), 0, until) };
        archive.put(&StoredRecord::Rule(rule))?;
    }
    archive.finish()
}

impl Transfer {
    /// The records under these keys of a node, without those that are gone or derived.
    async fn read(
        &self,
        node: &mut MultiplexedConnection,
        names: &[String],
    ) -> Result<Vec<StoredRecord>, ArchiveFault> {
        let mut pipeline = Pipeline::new();
        let mut asked = Vec::new();
        for name in names {
            let Some((letter, rest)) = name.split_once(':') else { continue };
            let command = match letter {
                "s" | "f" | "a" => "HGETALL",
                "k" | "u" => "PEXPIRETIME",
                "q" => "GET",
                _ => continue,
            };
            pipeline.cmd(command).arg(format!("{}{name}", self.inner.settings.prefix));
            asked.push((letter, rest));
        }
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<Value> = patiently(pipeline.query_async(node)).await?;
        let mut all = Vec::new();
        for ((letter, rest), value) in asked.into_iter().zip(values) {
            let unreadable = || told(&format!("{letter}:{rest} cannot be read: is it of a later version?"));
            all.extend(kept(letter, rest, value).ok_or_else(unreadable)?);
        }
        Ok(all)
    }

    /// All rules, and the highest number given.
    async fn rules(&mut self) -> Result<(Vec<Rule>, u64), ArchiveFault> {
        let (mut rules, mut after) = (HashMap::<Subject, Rule>::new(), 0);
        loop {
            let page = patiently(self.inner.page(&mut self.connection, after, u64::MAX, RULES)).await?;
            for (text, number) in &page {
                let Some(rule) = Rule::parse(text) else {
                    return Err(told(&"a later version has put a revocation there: export with that version"));
                };
                after = after.max(*number);
                let mut rule = Rule { number: Some(*number), ..rule };
                // A version before may have put another one beside it.
                if let Some(known) = rules.remove(&rule.subject) {
                    rule = rule.strictest(known);
                }
                rules.insert(rule.subject.clone(), rule);
            }
            if page.len() < RULES {
                break;
            }
        }
        let status = patiently(self.inner.look(&mut self.connection)).await?;
        Ok((rules.into_values().collect(), status.number.max(after)))
    }
}

/// Decodes a value: `None` if it cannot be read, `Some(None)` if there is nothing.
fn kept(letter: &str, rest: &str, value: Value) -> Option<Option<StoredRecord>> {
    if letter == "q" {
        let Some(used) = read::<Option<u64>>(value)? else { return Some(None) };
        let mut parts = rest.splitn(3, ':');
        let (period, begun, name) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        return Some(Some(StoredRecord::Count(name.to_owned(), Period::from_word(period)?, Count { begun, used })));
    }
    if matches!(letter, "k" | "u") {
        let Ok(until) = u64::try_from(read::<i64>(value)?) else { return Some(None) };
        let kept = if letter == "k" {
            StoredRecord::Right(unhex(rest)?, until)
        } else {
            StoredRecord::Used(unhex(rest)?, until.div_ceil(1_000))
        };
        return Some(Some(kept));
    }
    let fields: Fields = read(value)?;
    if fields.is_empty() {
        return Some(None);
    }
    Some(Some(match letter {
        "s" => {
            let digest = unhex(rest)?;
            StoredRecord::Session(digest, session(&digest, &fields)?)
        }
        "f" => StoredRecord::Family(unhex(rest)?, family(&fields)?),
        _ => StoredRecord::Failures(unhex(rest)?, failures_in(&fields)),
    }))
}

fn read<T: FromRedisValue>(value: Value) -> Option<T> {
    from_redis_value(value).ok()
}
