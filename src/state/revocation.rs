//! What is no longer good before its time: tokens, logins, customers, clients, API keys.

mod log;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use super::LONGEST_SKEW;
use log::RuleLog;

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One token, by its `jti`; one of another issuer by that issuer and its `jti`, or by its digest.
    Token(Box<str>),
    /// One login and all its tokens, by its `sid`.
    Login(Box<str>),
    /// All sessions and tokens of a customer, by identifier; with a space and an audience behind it only the tokens that are
    /// for it: see [`Subject::customer_for`].
    Customer(Box<str>),
    /// All access tokens of a client, by its id.
    Client(Box<str>),
    /// One API key, by the hex SHA-256 of it.
    ApiKey(Box<str>),
    /// All sessions and tokens of everybody, as after a backup was restored.
    All,
}

impl Subject {
    /// The word of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Login(_) => "login",
            Self::Customer(_) => "customer",
            Self::Client(_) => "client",
            Self::ApiKey(_) => "api_key",
            Self::All => "all",
        }
    }

    /// What it names.
    pub fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Login(name) | Self::Customer(name) | Self::Client(name) | Self::ApiKey(name) => {
                name
            }
            Self::All => "*",
        }
    }

    /// What a token of another issuer is named by, beside its kind.
    pub fn token_of(issuer: &str, id: &str) -> Box<str> {
        format!("{issuer} {id}").into()
    }

    /// The tokens of a customer that are for this audience. An identifier has no space, so that the two are told apart, and a
    /// version that does not know this has a rule about nobody.
    pub fn customer_for(identifier: &str, audience: &str) -> Self {
        Self::Customer(format!("{identifier} {audience}").into())
    }

    /// The subject of this kind and name.
    pub fn new(kind: &str, name: &str) -> Option<Self> {
        Some(match kind {
            "token" => Self::Token(name.into()),
            "login" => Self::Login(name.into()),
            "customer" => Self::Customer(name.into()),
            "client" => Self::Client(name.into()),
            "api_key" => Self::ApiKey(name.into()),
            "all" => Self::All,
            _ => return None,
        })
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Of what.
    pub subject: Subject,
    /// What was issued in this second or before is no longer good; `u64::MAX`: whenever it was issued.
    pub since: u64,
    /// From then on nothing can be left that it is about, in seconds since 1970.
    pub until: u64,
    /// The place of the rule among all: a hybrid logical clock in microseconds since 1970, given when it was first kept, by
    /// the shared store or by this process. `None`: not given yet, or by an earlier version. No text has it.
    pub number: Option<u64>,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {} {}", self.subject.kind(), self.since, self.until, self.subject.name())
    }
}

impl Rule {
    /// Whatever it says, for as long as anything of it could be good.
    pub fn forever(subject: Subject, until: u64) -> Self {
        Self::new(subject, u64::MAX, until)
    }

    /// A rule that has no number yet.
    pub fn new(subject: Subject, since: u64, until: u64) -> Self {
        Self { subject, since, until, number: None }
    }

    /// Both rules about one subject as one, which is as strict as either.
    pub(super) fn strictest(self, other: Self) -> Self {
        let number = match (self.number, other.number) {
            (None, None) => None,
            // What says no number goes by the clock: as one, it is given that of the second in which it ends.
            _ => Some(self.reckoned().max(other.reckoned())),
        };
        let (since, until) = (self.since.max(other.since), self.until.max(other.until));
        Self { subject: self.subject, since, until, number }
    }

    fn reckoned(&self) -> u64 {
        let by_clock = if self.since == u64::MAX { 0 } else { self.since.saturating_add(1).saturating_mul(1_000_000) };
        self.number.unwrap_or(by_clock)
    }

    /// The rule in a text that [`fmt::Display`] made.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (kind, since, until, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self::new(Subject::new(kind, name)?, since.parse().ok()?, until.parse().ok()?))
    }
}

/// When something was issued, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// In seconds since 1970, by the clock of whoever issued it.
    pub at: u64,
    /// Every rule up to this number had been given before it was earned. `None`: it is of an earlier version, or of another
    /// issuer.
    pub number: Option<u64>,
}

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
mod tests {
    use super::*;

    fn client(since: u64, until: u64) -> Rule {
        Rule::new(Subject::Client("asapp".into()), since, until)
    }

    fn at(at: u64) -> Option<Issued> {
        Some(Issued { at, number: None })
    }

    #[test]
    fn t32_the_strictest_of_several_rules_holds_in_any_order() {
        for order in [[100, 300, 200], [300, 200, 100], [200, 100, 300]] {
            let rules = Revocations::default();
            for since in order {
                rules.apply(client(since, since + 1_000));
            }
            let asapp = Subject::Client("asapp".into());
            assert!(rules.covers(&asapp, at(300)) && !rules.covers(&asapp, at(301)));
            assert!(rules.covers(&asapp, None));
            assert!(rules.sweep(1_299).is_empty());
            assert_eq!(rules.sweep(1_300).len(), 1);
            assert!(rules.is_empty());
        }
    }

    #[test]
    fn the_generation_grows_with_every_stricter_rule_only() {
        let rules = Revocations::default();
        let first = rules.generation();
        assert!(rules.apply(client(100, 1_000)));
        let second = rules.generation();
        assert_ne!(first, second);
        assert!(!rules.apply(client(50, 900)));
        assert_eq!(rules.generation(), second);
    }

    #[test]
    fn two_rules_as_one_are_as_strict_as_either() {
        let of = |since, until, number| Rule { number, ..client(since, until) };
        let merged = |one: Rule, other: Rule| {
            let both = one.clone().strictest(other.clone());
            assert_eq!(both, other.strictest(one));
            (both.since, both.until, both.number)
        };
        assert_eq!(merged(of(100, 900, Some(7)), of(200, 800, Some(5))), (200, 900, Some(7)));
        assert_eq!(merged(of(100, 900, None), of(200, 800, None)), (200, 900, None));
        // A number must not make good what goes by the clock.
        assert_eq!(merged(of(100, 900, None), of(50, 800, Some(60_000_000))), (100, 900, Some(101_000_000)));
        assert_eq!(merged(of(u64::MAX, 900, None), of(50, 800, Some(5))), (u64::MAX, 900, Some(5)));
    }

    #[test]
    fn a_rule_is_about_its_subject_only() {
        let rules = Revocations::default();
        rules.apply(Rule::forever(Subject::Token("asapp".into()), 1_000));
        assert!(!rules.covers(&Subject::Client("asapp".into()), at(1)));
        assert!(rules.covers(&Subject::Token("asapp".into()), at(u64::MAX)));
        assert!(!rules.covers_api_key(&[1; 32]));
        rules.apply(Rule::forever(Subject::ApiKey("01".repeat(32).into()), u64::MAX));
        assert!(rules.covers_api_key(&[1; 32]) && !rules.covers_api_key(&[2; 32]));
    }

    #[test]
    fn a_rule_for_one_audience_of_a_customer_is_about_that_one_only() {
        let rules = Revocations::default();
        let (one, other) = (Subject::customer_for("t1-x", "one"), Subject::customer_for("t1-x", "other"));
        rules.apply(Rule::new(one.clone(), 100, 1_000));
        assert!(rules.covers(&one, at(100)) && !rules.covers(&one, at(101)));
        assert!(!rules.covers(&other, at(100)) && !rules.covers(&Subject::Customer("t1-x".into()), at(100)));
    }

    #[test]
    fn however_many_rules_one_second_has_each_covers_what_was_issued_before_it_and_nothing_after() {
        let (rules, asapp) = (Revocations::default(), Subject::Client("asapp".into()));
        // The clock of whoever issues is behind, ahead, or right.
        for at in [100, 80, 120, 100, 100, 80, 120, 100] {
            let issued = Some(Issued { at, number: Some(rules.seen()) });
            assert!(!rules.covers(&asapp, issued));
            rules.apply(rules.until_now(asapp.clone(), 100, 1_000));
            assert!(rules.covers(&asapp, issued), "{at}");
        }
        assert_eq!(rules.rule(&asapp).map(|rule| rule.since), Some(100), "for what says no number");
        assert!(rules.covers(&asapp, at(100)) && !rules.covers(&asapp, at(101)));
        rules.apply(Rule::forever(asapp.clone(), 1_000));
        assert!(rules.covers(&asapp, Some(Issued { at: 200, number: Some(rules.seen()) })));
    }

    #[test]
    fn a_rule_by_time_reaches_as_far_ahead_as_a_credential_without_a_number_was_dated() {
        let (rules, asapp) = (Revocations::default(), Subject::Client("asapp".into()));
        let since = || rules.until_now(asapp.clone(), 100, 1_000).since;
        rules.note(None, 100);
        rules.note(at(90), 100);
        rules.note(Some(Issued { at: 120, number: Some(1) }), 100);
        assert_eq!(since(), 100);
        rules.note(at(120), 100);
        rules.note(at(105), 100);
        assert_eq!(since(), 120);
        rules.note(at(u64::MAX), 100);
        assert_eq!(since(), 160, "no further than any clock may be off");
        // Numbers go by no clock.
        let before = Some(Issued { at: 90, number: Some(rules.seen()) });
        rules.apply(rules.until_now(asapp.clone(), 100, 1_000));
        let after = Some(Issued { at: 100, number: Some(rules.seen()) });
        assert!(rules.covers(&asapp, before) && !rules.covers(&asapp, after));
        assert!(rules.covers(&asapp, at(160)) && !rules.covers(&asapp, at(161)));
    }

    #[test]
    fn what_a_number_has_covered_stays_covered_while_a_stricter_rule_waits_for_its_own() {
        let (rules, asapp) = (Revocations::shared(), Subject::Client("asapp".into()));
        rules.apply(Rule { number: Some(50), ..client(100, 1_000) });
        let issued = |at, number| Some(Issued { at, number: Some(number) });
        assert!(rules.covers(&asapp, issued(120, 49)) && !rules.covers(&asapp, issued(80, 50)));
        rules.apply(client(110, 2_000));
        assert!(rules.covers(&asapp, issued(120, 49)), "its replica is ahead");
        assert!(rules.covers(&asapp, issued(110, 50)) && !rules.covers(&asapp, issued(111, 50)), "by time till then");
        rules.apply(Rule { number: Some(60), ..client(110, 2_000) });
        assert!(rules.covers(&asapp, issued(130, 59)) && !rules.covers(&asapp, issued(90, 60)));
        assert_eq!((rules.seen(), rules.number()), (60, 0));
    }

    #[test]
    fn a_rule_about_everything_is_about_what_was_issued_until_then_and_about_no_api_key() {
        let rules = Revocations::default();
        let (client, key) = (Subject::Client("asapp".into()), Subject::ApiKey("01".into()));
        rules.restore(Rule::new(Subject::All, 100, 1_000));
        for subject in
            [&client, &Subject::Token("t".into()), &Subject::Login("l".into()), &Subject::Customer("c".into())]
        {
            assert!(rules.covers(subject, at(100)) && rules.covers(subject, None), "{subject:?}");
            assert!(rules.covers(subject, Some(Issued { at: 100, number: Some(7) })), "{subject:?}");
            assert!(!rules.covers(subject, at(101)), "{subject:?}");
        }
        assert!(!rules.covers(&key, None));
        assert_eq!(rules.sweep(1_000).len(), 1);
        assert!(!rules.covers(&client, at(100)));
    }

    #[test]
    fn rules_survive_their_text() {
        for subject in ["token", "login", "customer", "client", "api_key", "all"] {
            let rule = Rule::new(Subject::new(subject, "a b c").unwrap(), 5, u64::MAX);
            assert_eq!(Rule::parse(&rule.to_string()), Some(rule));
        }
        assert_eq!(Rule::parse("token 5"), None);
        assert_eq!(Rule::parse("other 5 5 x"), None);
    }

    #[test]
    fn numbers_of_this_process_grow_with_every_stricter_rule_and_after_those_that_it_found() {
        let rules = Revocations::default();
        let later = rules.next(0) + 3_600_000_000;
        rules.apply(Rule { number: Some(later), ..client(100, 1_000) });
        assert_eq!(rules.number(), later);
        rules.apply(client(50, 500));
        assert_eq!(rules.number(), later, "nothing became stricter");
        rules.apply(client(200, 1_000));
        let number = rules.rule(&client(0, 0).subject).unwrap().number;
        assert_eq!((number, rules.number()), (Some(later + 1), later + 1));
    }

    #[test]
    fn a_rule_of_a_shared_store_has_the_number_under_which_the_store_has_it_as_it_is() {
        let rules = Revocations::shared();
        let number = || rules.rule(&client(0, 0).subject).unwrap().number;
        rules.apply(client(100, 1_000));
        assert_eq!((number(), rules.number(), rules.count_until(u64::MAX)), (None, 0, 0));
        assert_eq!(rules.between(0, 0, 10), [client(100, 1_000)]);
        rules.apply(Rule { number: Some(7), ..client(100, 1_000) });
        assert_eq!((number(), rules.count_until(6), rules.count_until(7)), (Some(7), 0, 1));
        // The store has a weaker one: it does not have what is in force here.
        rules.apply(client(300, 1_000));
        rules.apply(Rule { number: Some(8), ..client(200, 2_000) });
        assert_eq!((number(), rules.between(0, 0, 10)), (None, vec![client(300, 2_000)]));
        rules.apply(Rule { number: Some(9), ..client(300, 2_000) });
        assert_eq!((rules.numbers(0, 100, 10), rules.numbers(9, 100, 10)), (vec![9], vec![]));
        assert_eq!(rules.sweep(2_000).len(), 1);
        assert_eq!(rules.count_until(u64::MAX), 0);
    }
}
