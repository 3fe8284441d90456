//! What is no longer good before its time: tokens, logins, customers, clients, API keys.

use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::shards::{PARTS, Shards};

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {} {}", self.subject.kind(), self.since, self.until, self.subject.name())
    }
}

impl Rule {
    /// Whatever it says, for as long as anything of it could be good.
    pub fn forever(subject: Subject, until: u64) -> Self {
        Self { subject, since: u64::MAX, until }
    }

    /// The rule in a text that [`fmt::Display`] made.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (kind, since, until, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self { subject: Subject::new(kind, name)?, since: since.parse().ok()?, until: until.parse().ok()? })
    }
}

/// By how many seconds a rule may be ahead of the clock, however often one is made: what is issued after it is as well, and
/// other clocks must not find that it lies in the future.
const MOST_AHEAD: u64 = 5;

/// All rules in force. Of several about one subject the strictest holds.
#[derive(Debug)]
pub struct Revocations {
    rules: Shards<Subject, Reach>,
    generation: AtomicU64,
    api_keys: AtomicUsize,
    /// The first second in which anything at all is good.
    all_from: AtomicU64,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            rules: Shards::scattered(),
            generation: AtomicU64::default(),
            api_keys: AtomicUsize::default(),
            all_from: AtomicU64::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    since: u64,
    until: u64,
}

impl Reach {
    fn about(self, subject: &Subject) -> Rule {
        Rule { subject: subject.clone(), since: self.since, until: self.until }
    }
}

impl Revocations {
    /// Grows with every rule: what was held against the rules of this generation need not be held against them again.
    /// Ask for it before [`Self::covers`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.len() == 0
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Puts a rule in force; tells whether anything became stricter.
    pub fn apply(&self, rule: Rule) -> bool {
        let is_key = matches!(rule.subject, Subject::ApiKey(_));
        if rule.subject == Subject::All {
            self.all_from.fetch_max(rule.since.saturating_add(1), Ordering::AcqRel);
        }
        let changed = self.rules.entry(rule.subject, |entry| match entry {
            Entry::Vacant(vacant) => {
                vacant.insert(Reach { since: rule.since, until: rule.until });
                self.api_keys.fetch_add(usize::from(is_key), Ordering::Release);
                true
            }
            Entry::Occupied(mut known) => {
                let stricter =
                    Reach { since: known.get().since.max(rule.since), until: known.get().until.max(rule.until) };
                known.insert(stricter) != stricter
            }
        });
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
        changed
    }

    /// Whether what was issued then is no longer good; what does not say when counts as old.
    pub fn covers(&self, subject: &Subject, issued_at: Option<u64>) -> bool {
        let is_old = |reach: &Reach| issued_at.is_none_or(|issued| issued <= reach.since);
        self.rules.with(subject, is_old).unwrap_or_default()
            || issued_at.unwrap_or_default() < self.all_from.load(Ordering::Acquire)
                && !matches!(subject, Subject::ApiKey(_))
    }

    /// Whether this API key, by the digest of it, is no longer good. Costs nothing where none has been revoked.
    pub fn covers_api_key(&self, digest: &[u8; 32]) -> bool {
        self.api_keys.load(Ordering::Acquire) > 0
            && self.covers(&Subject::ApiKey(super::session::hex(digest).into()), None)
    }

    /// What holds about this subject.
    pub fn rule(&self, subject: &Subject) -> Option<Rule> {
        self.rules.with(subject, |reach| reach.about(subject))
    }

    /// The first second in which something new of this subject is good.
    pub fn earliest(&self, subject: &Subject) -> u64 {
        let of_subject = self.rules.with(subject, |reach| reach.since.saturating_add(1)).unwrap_or_default();
        let of_all = if matches!(subject, Subject::ApiKey(_)) { 0 } else { self.all_from.load(Ordering::Acquire) };
        of_subject.max(of_all)
    }

    /// A rule about all of a subject that was issued until `now`. What came after an earlier rule of the same second bears a
    /// later second than this: it is covered too.
    pub fn until_now(&self, subject: Subject, now: u64, until: u64) -> Rule {
        let since = self.earliest(&subject).clamp(now, now.saturating_add(MOST_AHEAD));
        Rule { subject, since, until }
    }

    /// Up to `most` of the rules in this part of them that nothing is left for. While `then` runs none of this part changes.
    pub(super) fn over<R>(&self, part: usize, most: usize, now: u64, then: impl FnOnce(Vec<Subject>) -> R) -> R {
        self.rules.select(part, most, |_, reach| reach.until <= now, then)
    }

    /// Forgets a rule, where nothing is left for it; returns it.
    pub(super) fn forget(&self, subject: &Subject, now: u64) -> Option<Rule> {
        let reach = self.rules.remove_if(subject, |_, reach| reach.until <= now)?;
        if matches!(subject, Subject::ApiKey(_)) {
            self.api_keys.fetch_sub(1, Ordering::Release);
        }
        if *subject == Subject::All {
            self.all_from.store(0, Ordering::Release);
        }
        Some(reach.about(subject))
    }

    /// Gives memory back where a part of them has become much smaller.
    pub(super) fn shrink(&self, part: usize) {
        self.rules.shrink(part);
    }

    /// Forgets the rules that nothing is left for; returns them.
    pub fn sweep(&self, now: u64) -> Vec<Rule> {
        let over = |part| self.over(part, usize::MAX, now, |subjects| subjects);
        (0..PARTS).flat_map(over).filter_map(|subject| self.forget(&subject, now)).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Rule> {
        self.rules.collect(|subject, reach| Some(reach.about(subject)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn client(since: u64, until: u64) -> Rule {
        Rule { subject: Subject::Client("asapp".into()), since, until }
    }

    #[test]
    fn t32_the_strictest_of_several_rules_holds_in_any_order() {
        for order in [[100, 300, 200], [300, 200, 100], [200, 100, 300]] {
            let rules = Revocations::default();
            for since in order {
                rules.apply(client(since, since + 1_000));
            }
            let asapp = Subject::Client("asapp".into());
            assert!(rules.covers(&asapp, Some(300)) && !rules.covers(&asapp, Some(301)));
            assert!(rules.covers(&asapp, None));
            assert_eq!(rules.earliest(&asapp), 301);
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
    fn a_rule_is_about_its_subject_only() {
        let rules = Revocations::default();
        rules.apply(Rule::forever(Subject::Token("asapp".into()), 1_000));
        assert!(!rules.covers(&Subject::Client("asapp".into()), Some(1)));
        assert!(rules.covers(&Subject::Token("asapp".into()), Some(u64::MAX)));
        assert!(!rules.covers_api_key(&[1; 32]));
        rules.apply(Rule::forever(Subject::ApiKey("01".repeat(32).into()), u64::MAX));
        assert!(rules.covers_api_key(&[1; 32]) && !rules.covers_api_key(&[2; 32]));
    }

    #[test]
    fn a_rule_for_one_audience_of_a_customer_is_about_that_one_only() {
        let rules = Revocations::default();
        let (one, other) = (Subject::customer_for("t1-x", "one"), Subject::customer_for("t1-x", "other"));
        rules.apply(Rule { subject: one.clone(), since: 100, until: 1_000 });
        assert!(rules.covers(&one, Some(100)) && !rules.covers(&one, Some(101)));
        assert!(!rules.covers(&other, Some(100)) && !rules.covers(&Subject::Customer("t1-x".into()), Some(100)));
    }

    #[test]
    fn a_second_rule_in_the_same_second_covers_what_was_issued_after_the_first() {
        let (rules, asapp) = (Revocations::default(), Subject::Client("asapp".into()));
        for ahead in [0, 1, 2, 3, 4, 5, 5, 5] {
            let issued = rules.earliest(&asapp).max(100);
            rules.apply(rules.until_now(asapp.clone(), 100, 1_000));
            assert_eq!(rules.rule(&asapp).map(|rule| rule.since), Some(100 + ahead));
            assert!(rules.covers(&asapp, Some(issued)) || ahead == MOST_AHEAD);
        }
        assert_eq!(rules.until_now(asapp, 200, 1_000).since, 200);
    }

    #[test]
    fn a_rule_about_everything_is_about_what_was_issued_until_then_and_about_no_api_key() {
        let rules = Revocations::default();
        let (client, key) = (Subject::Client("asapp".into()), Subject::ApiKey("01".into()));
        rules.apply(Rule { subject: Subject::All, since: 100, until: 1_000 });
        for subject in
            [&client, &Subject::Token("t".into()), &Subject::Login("l".into()), &Subject::Customer("c".into())]
        {
            assert!(rules.covers(subject, Some(100)) && rules.covers(subject, None), "{subject:?}");
            assert!(!rules.covers(subject, Some(101)), "{subject:?}");
        }
        assert!(!rules.covers(&key, None));
        assert_eq!((rules.earliest(&client), rules.earliest(&key)), (101, 0));
        assert_eq!(rules.sweep(1_000).len(), 1);
        assert!(!rules.covers(&client, Some(100)));
    }

    #[test]
    fn rules_survive_their_text() {
        for subject in ["token", "login", "customer", "client", "api_key", "all"] {
            let rule = Rule { subject: Subject::new(subject, "a b c").unwrap(), since: 5, until: u64::MAX };
            assert_eq!(Rule::parse(&rule.to_string()), Some(rule));
        }
        assert_eq!(Rule::parse("token 5"), None);
        assert_eq!(Rule::parse("other 5 5 x"), None);
    }
}
