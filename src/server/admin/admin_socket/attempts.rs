//! Failed attempts to log in: list and clear them.

use std::net::IpAddr;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api_error::{Fault, SECRET};
use super::clock::now;
use super::logins::MAX_SHOWN;
use crate::gateway::{Shared, attempts_from, attempts_of, shown_attempt};
use crate::secret::has_secret_shape;
use crate::state::login_lockout::{AttemptKey, Failures, NOBODY};

/// Login or client whose attempts are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::server::admin) struct NamedAttempts {
    /// `login` or `client`.
    kind: String,
    /// Username as typed in, or a client's id.
    name: String,
    /// Client address; its network is meant.
    #[serde(default)]
    from: Option<IpAddr>,
}

impl NamedAttempts {
    fn who(&self) -> Result<AttemptKey, Fault> {
        if has_secret_shape(&self.name) {
            return Err(Fault(StatusCode::BAD_REQUEST, SECRET.to_owned()));
        }
        let unknown = || Fault(StatusCode::BAD_REQUEST, format!("`{}` is neither login nor client", self.kind));
        attempts_of(&self.kind, &self.name).ok_or_else(unknown)
    }
}

/// Failed attempts: of one name, or all.
pub(super) async fn list(shared: &Shared, asked: Option<NamedAttempts>) -> Result<Value, Fault> {
    let who = asked.map(|asked| asked.who()).transpose()?;
    let (policy, millis) = (shared.policy(), now().saturating_mul(1_000));
    let known = shared.state.attempts(millis, if who.is_some() { usize::MAX } else { MAX_SHOWN }).await?;
    let shown = |(_, failures): &(_, Failures)| {
        let attempt = (failures.who != NOBODY).then(|| shown_attempt(&policy, &failures.who));
        json!({
            "attempt": attempt, "failures": failures.count, "wait": failures.wait(millis).div_ceil(1_000),
            "forgotten_at": failures.forgotten_at / 1_000,
        })
    };
    let is_wanted = |(_, failures): &&(_, Failures)| who.is_none_or(|who| failures.who == who);
    Ok(known.iter().filter(is_wanted).map(shown).collect())
}

/// Clears the failed attempts of one name; returns their count.
pub(in crate::server::admin) async fn clear(shared: &Shared, asked: NamedAttempts) -> Result<Value, Fault> {
    let who = asked.who()?;
    let from = asked.from.and_then(|address| attempts_from(&asked.kind, address));
    let cleared = shared.state.clear_attempts(&who, from.as_ref()).await?;
    let attempt = shown_attempt(&shared.policy(), &who);
    tracing::info!(kind = asked.kind, attempt, cleared, "an operator cleared failed attempts");
    Ok(json!({ "kind": asked.kind, "attempt": attempt, "cleared": cleared }))
}
