//! What is no longer good before its time: tokens, logins, customers, clients, API keys.

mod log;
mod rule;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use super::LONGEST_SKEW;
use log::RuleLog;
pub use rule::{Issued, Rule, Subject};

/// So many rules are forgotten before a call may look again.
const SLICE: usize = 1_000;

/// All rules in force. Of several about one subject the strictest holds.
///
/// By default this process numbers them; [`Self::shared`]: a store does.
#[derive(Debug, Default)]
pub struct Revocations {
    rules: RwLock<HashMap<Arc<Subject>, Reach>>,
    log: Mutex<RuleLog>,
    /// A store gives the numbers.
    is_shared: bool,
    number: AtomicU64,
    seen: AtomicU64,
    generation: AtomicU64,
    count: AtomicUsize,
    api_keys: AtomicUsize,
    /// Whether there is a rule about all that was issued.
    has_all: AtomicBool,
    /// By how many seconds credentials without a number have been dated ahead of this process's clock, at most.
    ahead: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    since: u64,
    until: u64,
    /// 0: none.
    number: u64,
    /// The last number that the rule ever had: what did not know that one is covered, whatever has become of the rule.
    covers: u64,
}

impl Reach {
    fn is_as_strict_as(self, other: Self) -> bool {
        self.since >= other.since && self.until >= other.until
    }

    /// Where both have numbers they decide, and no clock is asked.
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
    /// Rules that a shared store numbers.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

    /// The number up to which every rule is known here. It never goes back. 0: nothing has been read or given yet.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Every rule of the shared store up to this number is known.
    pub(super) fn know(&self, number: u64) {
        self.number.fetch_max(number, Ordering::AcqRel);
        self.see(number);
    }

    /// The highest number that is known to have been given: what is earned from now on comes after every rule up to it, also
    /// after one that is not known here yet. Ask for it before a credential is checked.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// This number has been given.
    pub(super) fn see(&self, number: u64) {
        self.seen.fetch_max(number, Ordering::AcqRel);
    }

    /// Grows with every rule: what was held against the rules of this generation need not be held against them again.
    /// Ask for it before [`Self::covers`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Puts a rule in force; tells whether anything became stricter.
    pub fn apply(&self, rule: Rule) -> bool {
        self.put(rule, !self.is_shared)
    }

    /// Puts a rule in force that was kept before. One without a number gets none: what has been issued since would seem to
    /// be older.
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

    /// The next number of this process, or this one where it is later: it grows also where the clock goes back.
    fn next(&self, given: u64) -> u64 {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = u64::try_from(micros).unwrap_or(u64::MAX);
        self.seen().saturating_add(1).max(now).max(given)
    }

    /// Whether what was issued then is no longer good; what does not say when counts as old.
    pub fn covers(&self, subject: &Subject, issued: Option<Issued>) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let covers = |subject: &Subject| {
            rules.get(subject).is_some_and(|reach| issued.is_none_or(|issued| reach.covers(issued)))
        };
        let is_about_all = self.has_all.load(Ordering::Acquire) && !matches!(subject, Subject::ApiKey(_));
        covers(subject) || is_about_all && covers(&Subject::All)
    }

    /// Whether this API key, by the digest of it, is no longer good. Costs nothing where none has been revoked.
    pub fn covers_api_key(&self, digest: &[u8; 32]) -> bool {
        self.api_keys.load(Ordering::Acquire) > 0 && self.covers(&Subject::ApiKey(crate::hex::hex(digest).into()), None)
    }

    /// Whether the rule about all is about what was issued in this second, by no number. Costs nothing without such a rule.
    pub(super) fn covers_all_of(&self, at: u64) -> bool {
        self.has_all.load(Ordering::Acquire) && self.covers(&Subject::All, Some(Issued { at, number: None }))
    }

    /// Notes when a credential was issued that is right, before it is held against the rules: one without a number may be
    /// dated ahead of this clock, by the allowed skew at most, and rules that come later are to cover it.
    pub fn note(&self, issued: Option<Issued>, now: u64) {
        if let Some(Issued { at, number: None }) = issued
            && at > now
        {
            self.ahead.fetch_max((at - now).min(LONGEST_SKEW), Ordering::AcqRel);
        }
    }

    /// What holds about this subject.
    pub fn rule(&self, subject: &Subject) -> Option<Rule> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.get(subject).map(|reach| reach.rule(subject))
    }

    /// A rule about all of a subject that was issued until `now`; without a number also what is dated as far ahead of this
    /// clock as anything that was accepted here. It gets a number of its own also where one of the same second is in force:
    /// what came in between is covered too.
    pub fn until_now(&self, subject: Subject, now: u64, until: u64) -> Rule {
        let now = now.saturating_add(self.ahead.load(Ordering::Acquire));
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let known = rules.get(&subject).filter(|known| known.since >= now && known.since < u64::MAX);
        let until = known.map_or(until, |known| until.max(known.until.saturating_add(1)));
        drop(rules);
        Rule::new(subject, now, until)
    }

    /// Up to `most` rules that nothing is left for, those that ended first. While `then` runs no rule changes.
    pub(super) fn over<R>(&self, most: usize, now: u64, then: impl FnOnce(Vec<Arc<Subject>>) -> R) -> R {
        let _rules = self.rules();
        let over = self.log().ended(now, most);
        then(over)
    }

    /// Forgets a rule, where nothing is left for it.
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

    /// Forgets the rules that nothing is left for; returns their subjects.
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

    /// All of them.
    pub fn all(&self) -> Vec<Rule> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.iter().map(|(subject, reach)| reach.rule(subject)).collect()
    }

    /// How many rules have a number of the store, up to this one.
    pub(super) fn count_until(&self, last: u64) -> usize {
        self.log().count(last)
    }

    /// The highest number of a rule; 0: none has one.
    pub(super) fn highest(&self) -> u64 {
        self.log().highest()
    }

    /// Numbers of rules above `after` up to `last`, in their order.
    pub(super) fn numbers(&self, after: u64, last: u64, most: usize) -> Vec<u64> {
        self.log().numbers(after, last, most)
    }

    /// The rules of these numbers; both 0: those that the store has given none.
    pub(super) fn between(&self, first: u64, last: u64, most: usize) -> Vec<Rule> {
        let subjects = self.log().subjects(first, last, most);
        subjects.iter().filter_map(|subject| self.rule(subject)).collect()
    }

    fn rules(&self) -> RwLockWriteGuard<'_, HashMap<Arc<Subject>, Reach>> {
        self.rules.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never held while the rules are waited for.
    fn log(&self) -> MutexGuard<'_, RuleLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
