//! Records of the file as bytes: the key is a letter and a name, the value JSON.

use serde::{Deserialize, Serialize};

use super::account_stamp::AccountStamp;
use super::change::{Change, Unreadable};
use super::login_lockout::{ANY_SPELLING, AttemptKey, Failures, NOBODY, Spelling};
use super::quota::{Count, Period};
use super::refresh_token::{Family, Predecessor};
use super::replay::OnceId;
use super::revocation::{Rule, Subject};
use super::session::{Agent, LoginId, Session, SessionDigest};
use crate::customer::Identifier;
use crate::hex::{hex, unhex};

/// A record that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoredRecord {
    Session(SessionDigest, Session),
    Rule(Rule),
    Family(SessionDigest, Family),
    Failures(AttemptKey, Failures),
    /// A successful login, with the end of its effect in milliseconds since 1970.
    Right(AttemptKey, u64),
    Count(String, Period, Count),
    Used(OnceId, u64),
    /// Highest number that any rule was ever given.
    Highest(u64),
}

#[derive(Serialize, Deserialize)]
struct CountValue {
    begun: u64,
    used: u64,
}

#[derive(Serialize, Deserialize)]
struct SessionValue<'a> {
    customer: &'a str,
    issued: u64,
    seen: u64,
    expires: u64,
    agent: &'a str,
    /// Absent in earlier versions: there the login is named after its session.
    login: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Absent in earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct FamilyValue<'a> {
    customer: &'a str,
    issued: u64,
    expires: u64,
    current: String,
    /// The predecessor, and until when it is accepted, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<(String, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Absent in earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RuleValue {
    since: u64,
    until: u64,
    /// Absent in earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct FailuresValue {
    count: u64,
    forgotten: u64,
    locked: u64,
    /// True if the record is a successful login. An earlier version takes it for failures of which there are none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    right: bool,
    /// Absent in earlier versions.
    #[serde(default, skip_serializing_if = "is_any")]
    spelling: Spelling,
    /// Digest of the name. Absent in earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<String>,
}

pub(super) fn put_session(digest: &SessionDigest, session: &Session) -> Change {
    let value = SessionValue {
        customer: session.customer.as_str(),
        issued: session.issued_at,
        seen: session.last_seen,
        expires: session.expires_at,
        agent: session.agent.as_str(),
        login: Some(session.login.to_string()),
        account: session.account.map(|account| account.to_string()),
        number: session.number,
    };
    Change::Put(key(b's', digest), json(&value))
}

pub(super) fn delete_session(digest: &SessionDigest) -> Change {
    Change::Delete(session_key(digest))
}

pub(super) fn session_key(digest: &SessionDigest) -> Vec<u8> {
    key(b's', digest)
}

pub(super) fn put_rule(rule: &Rule) -> Change {
    let Rule { subject, since, until, number } = rule;
    Change::Put(rule_key(subject), json(&RuleValue { since: *since, until: *until, number: *number }))
}

/// The record of the highest number ever given, for the time when no rule is left that bears it: tokens that bear it
/// may be good for longer. To an earlier version it is a rule about a token that nobody has.
pub(super) fn put_highest(number: u64) -> Change {
    Change::Put(HIGHEST.to_vec(), json(&RuleValue { since: 0, until: NEVER, number: Some(number) }))
}

/// Returns whether the change is of a rule.
pub(super) fn is_rule(change: &Change) -> bool {
    change.key().first() == Some(&b'r')
}

pub(super) fn put_family(digest: &SessionDigest, family: &Family) -> Change {
    let value = FamilyValue {
        customer: family.customer.as_str(),
        issued: family.issued_at,
        expires: family.expires_at,
        current: hex(&family.current),
        before: family.predecessor.map(|before| (hex(&before.digest), before.until)),
        account: family.account.map(|account| account.to_string()),
        number: family.number,
    };
    Change::Put(key(b'f', digest), json(&value))
}

pub(super) fn delete_family(digest: &SessionDigest) -> Change {
    Change::Delete(family_key(digest))
}

pub(super) fn family_key(digest: &SessionDigest) -> Vec<u8> {
    key(b'f', digest)
}

pub(super) fn put_failures(name: &AttemptKey, failures: Failures) -> Change {
    let Failures { count, forgotten_at: forgotten, locked_until: locked, spelling, who } = failures;
    let who = (who != NOBODY).then(|| hex(&who));
    Change::Put(key(b'a', name), json(&FailuresValue { count, forgotten, locked, right: false, spelling, who }))
}

pub(super) fn put_right(name: &AttemptKey, until: u64) -> Change {
    let value = FailuresValue { count: 0, forgotten: until, locked: 0, right: true, spelling: ANY_SPELLING, who: None };
    Change::Put(key(b'a', name), json(&value))
}

pub(super) fn delete_failures(name: &AttemptKey) -> Change {
    Change::Delete(attempt_key(name))
}

pub(super) fn attempt_key(name: &AttemptKey) -> Vec<u8> {
    key(b'a', name)
}

pub(super) fn put_count(name: &str, period: Period, count: Count) -> Change {
    let value = CountValue { begun: count.begun, used: count.used };
    Change::Put(key(b'q', format!("{} {name}", period.as_str()).as_bytes()), json(&value))
}

pub(super) fn delete_count(name: &str, period: Period) -> Change {
    Change::Delete(key(b'q', format!("{} {name}", period.as_str()).as_bytes()))
}

pub(super) fn put_used(id: &OnceId, until: u64) -> Change {
    Change::Put(key(b'u', id), json(&until))
}

pub(super) fn used_key(id: &OnceId) -> Vec<u8> {
    key(b'u', id)
}

impl StoredRecord {
    /// The change that writes it.
    pub(super) fn put(&self) -> Change {
        match self {
            Self::Session(digest, session) => put_session(digest, session),
            Self::Rule(rule) => put_rule(rule),
            Self::Family(digest, family) => put_family(digest, family),
            Self::Failures(key, failures) => put_failures(key, *failures),
            Self::Right(key, until) => put_right(key, *until),
            Self::Count(name, period, count) => put_count(name, *period, *count),
            Self::Used(id, until) => put_used(id, *until),
            Self::Highest(number) => put_highest(*number),
        }
    }

    /// Returns whether the record has expired. `now` is in seconds since 1970.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let millis = now.saturating_mul(1_000);
        match self {
            Self::Session(_, session) => now >= session.expires_at,
            Self::Rule(rule) => now >= rule.until,
            Self::Family(_, family) => now >= family.expires_at,
            Self::Failures(_, failures) => millis >= failures.forgotten_at,
            Self::Right(_, until) => millis >= *until,
            Self::Count(_, period, count) => now >= period.bounds(count.begun).1,
            Self::Used(_, until) => now >= *until,
            Self::Highest(_) => false,
        }
    }

    /// The revocation number that the record bears; 0 if none.
    pub(super) fn number(&self) -> u64 {
        let number = match self {
            Self::Session(_, session) => session.number,
            Self::Rule(rule) => rule.number,
            Self::Family(_, family) => family.number,
            Self::Highest(number) => Some(*number),
            Self::Failures(..) | Self::Right(..) | Self::Count(..) | Self::Used(..) => None,
        };
        number.unwrap_or_default()
    }
}

/// Decodes a record.
///
/// # Errors
/// A kind that only a later version knows, or a damaged record.
pub(super) fn read(key: &[u8], value: &[u8]) -> Result<StoredRecord, Unreadable> {
    let letter = *key.first().unwrap_or(&0);
    if !LETTERS.contains(&letter) {
        return Err(Unreadable::Later(format!("a record of kind `{}`", letter.escape_ascii())));
    }
    if letter == b'r'
        && let Some(kind) = std::str::from_utf8(&key[1..]).ok().and_then(|name| name.split(' ').next())
        && Subject::new(kind, "").is_none()
        && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    {
        return Err(Unreadable::Later(format!("a revocation of kind `{kind}`")));
    }
    read_known(key, value).ok_or_else(|| Unreadable::Damaged("a record is not readable".to_owned()))
}

/// The key of the highest number: that of a rule about a token without a name.
const HIGHEST: &[u8] = b"rtoken ";

/// The end of the year 9999, in seconds since 1970.
const NEVER: u64 = 253_402_300_799;

/// First bytes of all keys.
const LETTERS: &[u8] = b"srfaqu";

fn read_known(key: &[u8], value: &[u8]) -> Option<StoredRecord> {
    let (letter, name) = key.split_first()?;
    match letter {
        b's' => {
            let value: SessionValue<'_> = serde_json::from_slice(value).ok()?;
            let digest: SessionDigest = name.try_into().ok()?;
            let login = match &value.login {
                Some(login) => LoginId::parse(login)?,
                None => LoginId::of(&digest),
            };
            let session = Session {
                customer: Identifier::from_store(value.customer),
                login,
                issued_at: value.issued,
                last_seen: value.seen,
                expires_at: value.expires,
                agent: Agent::from_word(value.agent),
                account: account(value.account)?,
                number: value.number,
            };
            Some(StoredRecord::Session(digest, session))
        }
        b'r' => {
            let (kind, name) = std::str::from_utf8(name).ok()?.split_once(' ')?;
            let RuleValue { since, until, number } = serde_json::from_slice(value).ok()?;
            if key == HIGHEST {
                return Some(StoredRecord::Highest(number?));
            }
            Some(StoredRecord::Rule(Rule { subject: Subject::new(kind, name)?, since, until, number }))
        }
        b'f' => {
            let value: FamilyValue<'_> = serde_json::from_slice(value).ok()?;
            let family = Family {
                customer: Identifier::from_store(value.customer),
                issued_at: value.issued,
                expires_at: value.expires,
                current: unhex(&value.current)?,
                predecessor: match value.before {
                    Some((digest, until)) => Some(Predecessor { digest: unhex(&digest)?, until }),
                    None => None,
                },
                account: account(value.account)?,
                number: value.number,
            };
            Some(StoredRecord::Family(name.try_into().ok()?, family))
        }
        b'a' => {
            let value: FailuresValue = serde_json::from_slice(value).ok()?;
            if value.right {
                return Some(StoredRecord::Right(name.try_into().ok()?, value.forgotten));
            }
            let failures = Failures {
                count: value.count,
                forgotten_at: value.forgotten,
                locked_until: value.locked,
                spelling: value.spelling,
                who: value.who.and_then(|who| unhex(&who)).unwrap_or(NOBODY),
            };
            Some(StoredRecord::Failures(name.try_into().ok()?, failures))
        }
        b'q' => {
            let (period, name) = std::str::from_utf8(name).ok()?.split_once(' ')?;
            let value: CountValue = serde_json::from_slice(value).ok()?;
            let count = Count { begun: value.begun, used: value.used };
            Some(StoredRecord::Count(name.to_owned(), Period::from_word(period)?, count))
        }
        b'u' => Some(StoredRecord::Used(name.try_into().ok()?, serde_json::from_slice(value).ok()?)),
        _ => None,
    }
}

/// The account of a login, if any; `None` if it cannot be parsed.
fn account(text: Option<String>) -> Option<Option<AccountStamp>> {
    text.map_or(Some(None), |text| AccountStamp::parse(&text).map(Some))
}

fn is_any(spelling: &Spelling) -> bool {
    *spelling == ANY_SPELLING
}

pub(super) fn rule_key(subject: &Subject) -> Vec<u8> {
    key(b'r', format!("{} {}", subject.kind(), subject.name()).as_bytes())
}

fn key(letter: u8, name: &[u8]) -> Vec<u8> {
    [&[letter], name].concat()
}

/// Plain numbers and texts always become JSON.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn read_as(letter: u8, name: &[u8], text: &[u8]) -> Option<StoredRecord> {
        read(&key(letter, name), text).ok()
    }

    fn reread(change: Change) -> Option<StoredRecord> {
        match change {
            Change::Put(key, value) => read(&key, &value).ok(),
            Change::Delete(_) => None,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let customer = Identifier::from_store("t1-abc");
        let login = LoginId::random();
        let account = Some(AccountStamp::of("alice", "1", "hash"));
        let session = Session {
            customer: customer.clone(),
            login,
            issued_at: 1,
            last_seen: 2,
            expires_at: 3,
            agent: Agent::Edge,
            account,
            number: Some(4),
        };
        assert_eq!(reread(put_session(&[9; 32], &session)), Some(StoredRecord::Session([9; 32], session)));
        let rule = Rule { subject: Subject::Token("https://x y".into()), since: u64::MAX, until: 7, number: Some(8) };
        assert_eq!(reread(put_rule(&rule)), Some(StoredRecord::Rule(rule.clone())));
        let earlier = read(&key(b'r', b"token https://x y"), br#"{"since":18446744073709551615,"until":7}"#);
        assert_eq!(
            earlier,
            Ok(StoredRecord::Rule(Rule { number: None, ..rule.clone() })),
            "of a version that knew no numbers"
        );
        assert!(is_rule(&put_highest(9)) && is_rule(&put_rule(&rule)) && !is_rule(&delete_session(&[0; 32])));
        assert_eq!(reread(put_highest(9)), Some(StoredRecord::Highest(9)));
        let predecessor = Some(Predecessor { digest: [2; 32], until: u64::MAX });
        let family =
            Family { customer, issued_at: 1, expires_at: 2, current: [3; 32], predecessor, account, number: Some(3) };
        assert_eq!(reread(put_family(&[4; 32], &family)), Some(StoredRecord::Family([4; 32], family)));
        let failures = Failures { count: 1, forgotten_at: 2, locked_until: 3, spelling: u64::MAX, who: [9; 16] };
        assert_eq!(reread(put_failures(&[5; 16], failures)), Some(StoredRecord::Failures([5; 16], failures)));
        assert_eq!(reread(put_right(&[7; 16], 8)), Some(StoredRecord::Right([7; 16], 8)));
        let old = br#"{"count":1,"forgotten":2,"locked":3}"#;
        let of_old = Failures { spelling: ANY_SPELLING, who: NOBODY, ..failures };
        assert_eq!(read_as(b'a', &[5; 16], old), Some(StoredRecord::Failures([5; 16], of_old)));
        let count = Count { begun: 1, used: 2 };
        let kept = StoredRecord::Count("a key".to_owned(), Period::Month, count);
        assert_eq!(reread(put_count("a key", Period::Month, count)), Some(kept));
        assert_eq!(reread(put_used(&[6; 32], 7)), Some(StoredRecord::Used([6; 32], 7)));
        let earlier = br#"{"customer":"t1-abc","issued":1,"seen":2,"expires":3,"agent":"edge"}"#;
        let Some(StoredRecord::Session(_, earlier)) = read_as(b's', &[9; 32], earlier) else { panic!("not readable") };
        assert_eq!(earlier.login, LoginId::of(&[9; 32]), "of a version that knew no logins");
        let damaged = Err(Unreadable::Damaged("a record is not readable".to_owned()));
        for (key, value) in [(&b"s1"[..], &b"{}"[..]), (b"r\xff\xff", b"{}"), (b"rclient x", b"{")] {
            assert_eq!(read(key, value), damaged);
        }
    }

    #[test]
    fn a_record_of_a_later_version_is_named_and_never_called_damaged() {
        let later = |kind: &str| Err(Unreadable::Later(kind.to_owned()));
        assert_eq!(read(b"x1", b"{}"), later("a record of kind `x`"));
        assert_eq!(read(b"\x001", b"{}"), later("a record of kind `\\x00`"));
        assert_eq!(read(b"rgalaxy far away", b"{}"), later("a revocation of kind `galaxy`"));
    }

    #[test]
    fn logins_of_an_earlier_version_are_read_and_name_no_account() {
        let session = br#"{"customer":"t1-abc","issued":1,"seen":2,"expires":3,"agent":"edge"}"#;
        let read_as = |letter: u8, text: &[u8]| read_as(letter, &[9; 32], text);
        let Some(StoredRecord::Session(_, session)) = read_as(b's', session) else { panic!("no session") };
        assert_eq!((session.account, session.expires_at), (None, 3));
        let current = "03".repeat(32);
        let family = format!(r#"{{"customer":"t1-abc","issued":1,"expires":2,"current":"{current}"}}"#);
        let Some(StoredRecord::Family(_, family)) = read_as(b'f', family.as_bytes()) else { panic!("no family") };
        assert_eq!((family.account, family.predecessor, family.current), (None, None, [3; 32]));
    }
}
