//! A session: the part of a customer's login that a cookie names.

use super::account_stamp::AccountStamp;
use super::revocation::{Issued, Revocations, Subject};
use crate::customer::Identifier;
use crate::secret::random_bytes;
use aws_lc_rs::digest;

/// SHA-256 of a session id; only the holder of the cookie knows the id.
pub type SessionDigest = [u8; 32];

/// SHA-256 of a secret id.
pub fn digest_of(id: &[u8]) -> SessionDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, id).as_ref());
    bytes
}

/// The name of a login: the `sid` of its JWTs, shown to operators, and the handle that ends its session, JWTs and
/// refresh tokens together. Not secret. In text it is 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginId([u8; 8]);

impl LoginId {
    /// Its last `count` bits as a number.
    pub(super) fn low_bits(self, count: u32) -> u64 {
        u64::from_be_bytes(self.0) & ((1 << count) - 1)
    }

    /// A random name for a new login.
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// The name of the login of this family of refresh tokens; of a session's digest, the name that ends that session
    /// alone.
    pub fn of(digest: &SessionDigest) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }

    /// Parses 16 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }

    /// The subject of a rule that ends the login.
    pub fn subject(self) -> Subject {
        Subject::Login(self.to_string().into())
    }
}

impl std::fmt::Display for LoginId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The first 16 hexadecimal digits of a digest.
pub fn handle(digest: &SessionDigest) -> String {
    LoginId::of(digest).to_string()
}

/// A session. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The customer.
    pub customer: Identifier,
    /// Its login.
    pub login: LoginId,
    /// Time of the login.
    pub issued_at: u64,
    /// Last use.
    pub last_seen: u64,
    /// Absolute expiry.
    pub expires_at: u64,
    /// Family of the user agent at the login.
    pub agent: Agent,
    /// The account, if known.
    pub account: Option<AccountStamp>,
    /// Revocation number of [`Issued`].
    pub number: Option<u64>,
}

impl Session {
    /// Time of issue, for revocations.
    pub fn issued(&self) -> Issued {
        Issued { at: self.issued_at, number: self.number }
    }

    /// Returns whether it has expired: too old, or unused for `idle` seconds.
    pub fn is_over(&self, now: u64, idle: u64) -> bool {
        now >= self.expires_at || now >= self.last_seen.saturating_add(idle)
    }
}

/// The family of a user agent, for operators' eyes only: nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Agent {
    /// None of the others, or nothing was said.
    #[default]
    Other,
    /// Google Chrome and its kin.
    Chrome,
    /// Mozilla Firefox.
    Firefox,
    /// Apple Safari.
    Safari,
    /// Microsoft Edge.
    Edge,
    /// An app that uses one of the usual HTTP libraries.
    App,
    /// curl and other tools of a command line.
    Tool,
}

impl Agent {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Other, "other"),
        (Self::Chrome, "chrome"),
        (Self::Firefox, "firefox"),
        (Self::Safari, "safari"),
        (Self::Edge, "edge"),
        (Self::App, "app"),
        (Self::Tool, "tool"),
    ];

    /// The family in a `User-Agent` field.
    pub fn of(field: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| field.contains(word));
        // In this order: each browser also names those that came before it.
        match () {
            () if has(&["Edg/", "EdgA/", "EdgiOS/"]) => Self::Edge,
            () if has(&["Firefox/", "FxiOS/"]) => Self::Firefox,
            () if has(&["Chrome/", "CriOS/"]) => Self::Chrome,
            () if has(&["Safari/"]) => Self::Safari,
            () if has(&["okhttp", "CFNetwork", "Dalvik", "Alamofire"]) => Self::App,
            () if has(&["curl/", "Wget/", "python-", "Go-http"]) => Self::Tool,
            () => Self::Other,
        }
    }

    /// The word for operators.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(agent, _)| *agent == self).map_or("other", |(_, word)| word)
    }

    /// The family that [`Self::as_str`] names so.
    pub fn from_word(word: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == word).map_or(Self::Other, |(agent, _)| *agent)
    }
}

/// The outcome of looking a session up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is live, and this customer's.
    Live(Identifier),
    /// It has expired, or was idle for too long.
    Expired,
    /// There is no such session, or it has been ended.
    Unknown,
    /// Its account is gone, or has another password.
    NoAccount,
    /// Only the store knows.
    Ask,
}

/// Returns whether a rule has ended the session: one about itself, its login, or its customer.
pub(super) fn is_revoked(
    revocations: &Revocations,
    digest: &SessionDigest,
    login: LoginId,
    customer: &Identifier,
    issued: Issued,
) -> bool {
    !revocations.is_empty()
        && (revocations.covers(&Subject::Customer(customer.as_str().into()), Some(issued))
            || revocations.covers(&login.subject(), Some(issued))
            || revocations.covers(&LoginId::of(digest).subject(), Some(issued)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    #[test]
    fn browsers_are_told_apart_by_family() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
        assert_eq!(Agent::of(chrome), Agent::Chrome);
        assert_eq!(Agent::of(&format!("{chrome} Edg/130.0")), Agent::Edge);
        assert_eq!(Agent::of("curl/8.5.0"), Agent::Tool);
        assert_eq!(Agent::of(""), Agent::Other);
        for (agent, word) in Agent::ALL {
            assert_eq!((agent.as_str(), Agent::from_word(word)), (word, agent));
        }
    }

    #[test]
    fn logins_survive_their_text() {
        assert_eq!(handle(&[0xab; 32]), "abababababababab");
        for id in [LoginId::random(), LoginId::of(&[0; 32]), LoginId::of(&[0xff; 32])] {
            assert_eq!(LoginId::parse(&id.to_string()), Some(id));
        }
        for wrong in ["", "abc", "ABABABABABABABAB", "+bababababababab", "abababababababab0"] {
            assert_eq!(LoginId::parse(wrong), None, "{wrong}");
        }
    }
}
