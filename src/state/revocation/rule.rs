//! One revocation: its subject, and what it covers.

use std::fmt;

use aws_lc_rs::digest;

use crate::hex::hex;

/// The subject of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One token, by its `jti`; one of another issuer by issuer and `jti`, or by digest.
    Token(Box<str>),
    /// One login and all its tokens, by its `sid`; one of another issuer: see [`Subject::session_of`].
    Login(Box<str>),
    /// All sessions and tokens of a customer, by identifier; with a space and an audience after it, only the tokens for
    /// that audience: see [`Subject::customer_for`].
    Customer(Box<str>),
    /// All access tokens of a client, by its id.
    Client(Box<str>),
    /// One API key, by its SHA-256 in hexadecimal digits.
    ApiKey(Box<str>),
    /// All sessions and tokens of everybody, as after a restored backup.
    All,
}

impl Subject {
    /// The word for its kind.
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

    /// The name within its kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Login(name) | Self::Customer(name) | Self::Client(name) | Self::ApiKey(name) => {
                name
            }
            Self::All => "*",
        }
    }

    /// The name of another issuer's token.
    pub fn token_of(issuer: &str, id: &str) -> Box<str> {
        format!("{issuer} {id}").into()
    }

    /// The name of another issuer's session, by its `sid`.
    pub fn session_of(issuer: &str, session: &str) -> Box<str> {
        format!("{issuer} sid {session}").into()
    }

    /// The name of those of another issuer's sessions that its tokens of this subject do not tell. The subject may be personal:
    /// only its digest is kept.
    pub fn unnamed_session_of(issuer: &str, subject: &str) -> Box<str> {
        format!("{issuer} sub sha256 {}", hex(digest::digest(&digest::SHA256, subject.as_bytes()).as_ref())).into()
    }

    /// The tokens of a customer for this audience. An identifier contains no space, so that the two are told apart, and
    /// to an earlier version the rule is about nobody.
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
    /// The subject.
    pub subject: Subject,
    /// Whatever was issued in this second since 1970 or before is revoked; `u64::MAX`: whenever it was issued.
    pub since: u64,
    /// Expiry of the rule, in seconds since 1970: by then everything that it covers has ended.
    pub until: u64,
    /// Position of the rule among all: a hybrid logical clock in microseconds since 1970, given when it was first
    /// stored, by the shared store or by this process. `None`: not given yet, or of an earlier version. It is not part
    /// of the text.
    pub number: Option<u64>,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {} {}", self.subject.kind(), self.since, self.until, self.subject.name())
    }
}

impl Rule {
    /// A rule that covers a subject whenever issued.
    pub fn forever(subject: Subject, until: u64) -> Self {
        Self::new(subject, u64::MAX, until)
    }

    /// A rule that has no number yet.
    pub fn new(subject: Subject, since: u64, until: u64) -> Self {
        Self { subject, since, until, number: None }
    }

    /// Merges two rules about one subject into one as strict as either.
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

    /// Parses the text that [`fmt::Display`] makes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (kind, since, until, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self::new(Subject::new(kind, name)?, since.parse().ok()?, until.parse().ok()?))
    }
}

/// The time of issue of a credential, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// In seconds since 1970, by the clock of its issuer.
    pub at: u64,
    /// Revocation number: every rule up to it had been given before the credential was earned. `None`: it is of an
    /// earlier version, or of another issuer.
    pub number: Option<u64>,
}
