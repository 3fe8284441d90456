//! One revocation: its subject, and what of that it covers.

use std::fmt;

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
    pub(in crate::state) fn strictest(self, other: Self) -> Self {
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
