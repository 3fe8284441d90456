//! Revocations: tokens, logins, customers, clients and API keys that ended before their expiry.

mod log;
mod rule;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use super::LONGEST_SKEW;
use log::RuleLog;
pub use rule::{Issued, Rule, Subject};

/// Rules forgotten per step, between which calls may look at them.
const SLICE: usize = 1_000;

/// All rules in force. Of several about one subject the strictest holds.
///
/// By default this process numbers them; with [`Self::shared`] a store does.
#[derive(Debug, Default)]
pub struct Revocations {
    rules: RwLock<HashMap<Arc<Subject>, Reach>>,
    log: Mutex<RuleLog>,
    /// True if a shared store numbers the rules.
    is_shared: bool,
    number: AtomicU64,
    seen: AtomicU64,
    generation: AtomicU64,
    count: AtomicUsize,
    api_keys: AtomicUsize,
    /// True if there is a rule about everything issued.
    has_all: AtomicBool,
    /// Most seconds by which a credential without a number was dated ahead of this clock.
    ahead: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    since: u64,
    until: u64,
    /// Revocation number; 0 if none.
    number: u64,
    /// Last number that the rule ever had: it covers whatever was issued before that number, also after the rule has
    /// changed.
    covers: u64,
}

impl Reach {
    fn is_as_strict_as(self, other: Self) -> bool {
        self.since >= other.since && self.until >= other.until
    }

    /// Returns whether it was issued before the rule. If both have numbers, these decide, and no clock is asked.
    fn covers(self, issued: Issued) -> bool {
        if self.since == u64::MAX {
            return true;
        }
        match issued.number {
            Some(known) if known < self.covers => true,
            Some(_) if self.number > 0 => false,
            _ => issued.at <= self.since,
        }
    }

    fn rule(self, subject: &Subject) -> Rule {
        let number = (self.number > 0).then_some(self.number);
        Rule { subject: subject.clone(), since: self.since, until: self.until, number }
    }
}

impl Revocations {
    /// An empty set of rules that a shared store numbers.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

    /// Number up to which every rule is known here. It never goes back. 0 before any is read or given.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Notes that every rule up to this number is known.
    pub(super) fn know(&self, number: u64) {
        self.number.fetch_max(number, Ordering::AcqRel);
        self.see(number);
    }

    /// Highest number known to have been given: a credential issued from now on comes after every rule up to it, also
    /// after one that is not known here yet. Ask for it before the credential is checked.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Notes that this number has been given.
    pub(super) fn see(&self, number: u64) {
        self.seen.fetch_max(number, Ordering::AcqRel);
    }

    /// Generation of the rules, which grows with every stricter rule: whatever was checked against this generation need
    /// not be checked again. Ask for it before [`Self::covers`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Puts a rule in force; returns whether anything became stricter.
    pub fn apply(&self, rule: Rule) -> bool {
        self.put(rule, !self.is_shared)
    }

    /// Puts a stored rule in force. One without a number gets none, or credentials issued since would seem older than
    /// the rule.
    pub fn restore(&self, rule: Rule) {
        self.put(rule, false);
    }

    fn put(&self, rule: Rule, numbers: bool) -> bool {
        let told = Reach { since: rule.since, until: rule.until, number: rule.number.unwrap_or_default(), covers: 0 };
        let mut rules = self.rules();
        let known = rules.get_key_value(&rule.subject).map(|(subject, reach)| (Arc::clone(subject), *reach));
        let before = known.as_ref().map(|(_, reach)| *reach);
        let mut after = before.map_or(told, |known| Reach {
            since: known.since.max(told.since),
            until: known.until.max(told.until),
            number: known.number,
            covers: known.covers,
        });
        let is_stricter = before.is_none_or(|before| !before.is_as_strict_as(after));
        if told.number > 0 && told.is_as_strict_as(after) {
            after.number = told.number;
        } else if is_stricter {
            // As it is now nobody has kept it.
            after.number = if numbers { self.next(told.number) } else { 0 };
        }
        after.covers = after.covers.max(after.number).max(told.number);
        if !self.is_shared {
            self.know(after.number);
        }
        self.see(after.covers);
        if before == Some(after) {
            return false;
        }
        if rule.subject == Subject::All {
            self.has_all.store(true, Ordering::Release);
        }
        let is_new_key = known.is_none() && matches!(rule.subject, Subject::ApiKey(_));
        let subject = known.map_or_else(|| Arc::new(rule.subject), |(subject, _)| subject);
        self.log().replace(&subject, before, Some(after));
        rules.insert(subject, after);
        self.api_keys.fetch_add(usize::from(is_new_key), Ordering::Release);
        self.count.store(rules.len(), Ordering::Release);
        drop(rules);
        self.generation.fetch_add(1, Ordering::Release);
        is_stricter
    }

    /// The next number of this process, or `given` if that is later. Numbers grow even if the clock goes back.
    fn next(&self, given: u64) -> u64 {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = u64::try_from(micros).unwrap_or(u64::MAX);
        self.seen().saturating_add(1).max(now).max(given)
    }

    /// Returns whether a credential of this subject, issued then, is revoked. One that does not say when counts as old.
    pub fn covers(&self, subject: &Subject, issued: Option<Issued>) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let covers = |subject: &Subject| {
            rules.get(subject).is_some_and(|reach| issued.is_none_or(|issued| reach.covers(issued)))
        };
        let is_about_all = self.has_all.load(Ordering::Acquire) && !matches!(subject, Subject::ApiKey(_));
        covers(subject) || is_about_all && covers(&Subject::All)
    }

    /// Returns whether the API key with this SHA-256 digest is revoked. Costs nothing if no API key has been.
    pub fn covers_api_key(&self, digest: &[u8; 32]) -> bool {
        self.api_keys.load(Ordering::Acquire) > 0 && self.covers(&Subject::ApiKey(crate::hex::hex(digest).into()), None)
    }

    /// Returns whether the rule about everything covers what was issued in this second, without a number. Costs nothing
    /// without such a rule.
    pub(super) fn covers_all_of(&self, at: u64) -> bool {
        self.has_all.load(Ordering::Acquire) && self.covers(&Subject::All, Some(Issued { at, number: None }))
    }

    /// Notes the time of issue of a valid credential, before it is checked against the rules. One without a number may
    /// be dated ahead of this clock, by the allowed skew at most, and later rules must cover it.
    pub fn note(&self, issued: Option<Issued>, now: u64) {
        if let Some(Issued { at, number: None }) = issued
            && at > now
        {
            self.ahead.fetch_max((at - now).min(LONGEST_SKEW), Ordering::AcqRel);
        }
    }

    /// The rule about this subject.
    pub fn rule(&self, subject: &Subject) -> Option<Rule> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.get(subject).map(|reach| reach.rule(subject))
    }

    /// A rule about everything of a subject issued until `now`, in seconds since 1970; without a number also what is
    /// dated as far ahead of this clock as anything accepted here. It gets a number of its own even if a rule of the
    /// same second is in force: what was issued in between is covered too.
    pub fn until_now(&self, subject: Subject, now: u64, until: u64) -> Rule {
        let now = now.saturating_add(self.ahead.load(Ordering::Acquire));
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let known = rules.get(&subject).filter(|known| known.since >= now && known.since < u64::MAX);
        let until = known.map_or(until, |known| until.max(known.until.saturating_add(1)));
        drop(rules);
        Rule::new(subject, now, until)
    }

    /// Passes the subjects of up to `most` expired rules, earliest first, to `then`. While that runs no rule changes.
    pub(super) fn over<R>(&self, most: usize, now: u64, then: impl FnOnce(Vec<Arc<Subject>>) -> R) -> R {
        let _rules = self.rules();
        let over = self.log().ended(now, most);
        then(over)
    }

    /// Forgets a rule, if it has expired.
    pub(super) fn forget(&self, subject: &Subject, now: u64) {
        let mut rules = self.rules();
        let Some(reach) = rules.get(subject).copied().filter(|reach| reach.until <= now) else { return };
        let Some((subject, _)) = rules.remove_entry(subject) else { return };
        self.log().replace(&subject, Some(reach), None);
        self.api_keys.fetch_sub(usize::from(matches!(*subject, Subject::ApiKey(_))), Ordering::Release);
        self.count.store(rules.len(), Ordering::Release);
        if rules.len() < rules.capacity() / 4 {
            rules.shrink_to_fit();
        }
        if *subject == Subject::All {
            self.has_all.store(false, Ordering::Release);
        }
    }

    /// Forgets all expired rules; returns their subjects.
    pub fn sweep(&self, now: u64) -> Vec<Arc<Subject>> {
        let mut gone = Vec::new();
        loop {
            let over = self.over(SLICE, now, |over| over);
            if over.is_empty() {
                return gone;
            }
            over.iter().for_each(|subject| self.forget(subject, now));
            gone.extend(over);
        }
    }

    /// All rules.
    pub fn all(&self) -> Vec<Rule> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.iter().map(|(subject, reach)| reach.rule(subject)).collect()
    }

    /// Number of rules with a number up to `last`.
    pub(super) fn count_until(&self, last: u64) -> usize {
        self.log().count(last)
    }

    /// Highest number of a rule; 0 if none has one.
    pub(super) fn highest(&self) -> u64 {
        self.log().highest()
    }

    /// Numbers of rules above `after` up to `last`, sorted.
    pub(super) fn numbers(&self, after: u64, last: u64, most: usize) -> Vec<u64> {
        self.log().numbers(after, last, most)
    }

    /// The rules with these numbers; with both 0, those that the store has not numbered.
    pub(super) fn between(&self, first: u64, last: u64, most: usize) -> Vec<Rule> {
        let subjects = self.log().subjects(first, last, most);
        subjects.iter().filter_map(|subject| self.rule(subject)).collect()
    }

    fn rules(&self) -> RwLockWriteGuard<'_, HashMap<Arc<Subject>, Reach>> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the log; never held while waiting for the rules.
    fn log(&self) -> MutexGuard<'_, RuleLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
