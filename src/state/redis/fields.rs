//! Fields of hashes: sessions, families of refresh tokens and failed attempts, encoded and decoded.

use crate::customer::Identifier;
use crate::hex::{hex, unhex};
use crate::state::account_stamp::AccountStamp;
use crate::state::login_lockout::{ANY_SPELLING, Failures, NOBODY};
use crate::state::refresh_token::{Family, Predecessor, UNANSWERED};
use crate::state::session::{Agent, LoginId, Session, SessionDigest};

/// The fields and values of one hash.
pub(super) type Fields = Vec<(String, String)>;

/// Expiry of a session's key, in seconds since 1970: an idle session still names the login that a logout ends.
pub(super) fn ends(session: &Session) -> u64 {
    // Redis counts in milliseconds, with a sign.
    session.expires_at.min(u64::MAX / 4_000)
}

/// The fields of a session.
pub(super) fn session_fields(session: &Session) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("c", session.customer.as_str().to_owned()),
        ("a", session.agent.as_str().to_owned()),
        ("n", session.login.to_string()),
        ("i", session.issued_at.to_string()),
        ("l", session.last_seen.to_string()),
        ("e", session.expires_at.to_string()),
    ];
    fields.extend(session.account.map(|account| ("u", account.to_string())));
    fields.extend(session.number.map(|number| ("k", number.to_string())));
    fields
}

/// The fields of a family.
pub(super) fn family_fields(family: &Family) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("c", family.customer.as_str().to_owned()),
        ("d", hex(&family.current)),
        ("i", family.issued_at.to_string()),
        ("e", family.expires_at.to_string()),
    ];
    if let Some(Predecessor { digest, until }) = family.predecessor {
        fields.push(("p", hex(&digest)));
        // Nobody waits for an answer under this name.
        fields.push(if until == UNANSWERED { ("r", "moved".to_owned()) } else { ("g", until.to_string()) });
    }
    fields.extend(family.account.map(|account| ("u", account.to_string())));
    fields.extend(family.number.map(|number| ("k", number.to_string())));
    fields
}

pub(super) fn session(digest: &SessionDigest, fields: &[(String, String)]) -> Option<Session> {
    let number = |name| field(fields, name)?.parse().ok();
    let login = match field(fields, "n") {
        Some(login) => LoginId::parse(login)?,
        // Of a version that knew no logins.
        None => LoginId::of(digest),
    };
    Some(Session {
        customer: Identifier::from_store(field(fields, "c")?),
        login,
        issued_at: number("i")?,
        last_seen: number("l")?,
        expires_at: number("e")?,
        agent: Agent::from_word(field(fields, "a").unwrap_or_default()),
        account: account(fields)?,
        number: number_of(fields)?,
    })
}

pub(super) fn family(fields: &[(String, String)]) -> Option<Family> {
    Some(Family {
        customer: Identifier::from_store(field(fields, "c")?),
        issued_at: field(fields, "i")?.parse().ok()?,
        expires_at: field(fields, "e")?.parse().ok()?,
        current: unhex(field(fields, "d")?)?,
        predecessor: match field(fields, "p") {
            None => None,
            Some(digest) => Some(Predecessor {
                digest: unhex(digest)?,
                until: match (field(fields, "r"), field(fields, "g")) {
                    (Some(_), _) => UNANSWERED,
                    (None, Some(until)) => until.parse().ok()?,
                    (None, None) => 0,
                },
            }),
        },
        account: account(fields)?,
        number: number_of(fields)?,
    })
}

/// The account of a login, if any; `None` if it cannot be parsed.
fn account(fields: &[(String, String)]) -> Option<Option<AccountStamp>> {
    field(fields, "u").map_or(Some(None), |text| AccountStamp::parse(text).map(Some))
}

/// The revocation number, if any; `None` if it cannot be parsed.
fn number_of(fields: &[(String, String)]) -> Option<Option<u64>> {
    field(fields, "k").map_or(Some(None), |text| text.parse().ok().map(Some))
}

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Decodes a failure counter.
pub(super) fn failures_in(fields: &Fields) -> Failures {
    let number = |name| field(fields, name).and_then(|text| text.parse().ok());
    failures_from((number("n"), number("f"), number("l"), number("s")), field(fields, "w"))
}

pub(super) fn failures_from(
    (count, forgotten_at, locked_until, spelling): (Option<u64>, Option<u64>, Option<u64>, Option<u64>),
    who: Option<&str>,
) -> Failures {
    Failures {
        count: count.unwrap_or_default(),
        forgotten_at: forgotten_at.unwrap_or_default(),
        locked_until: locked_until.unwrap_or_default(),
        spelling: spelling.unwrap_or(ANY_SPELLING),
        who: who.and_then(unhex).unwrap_or(NOBODY),
    }
}
