//! Where the keys of an issuer come from.

use std::sync::Arc;

use super::jwk_set::JwkSet;
use super::jws::Jws;
use super::remote_jwks::{JwksStatus, PublishedKeys};
use crate::explanation::trace::{StepDetail, StepSink, shown, span};
use crate::refusal::TokenFault;

/// Source of an issuer's keys.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Read with the configuration.
    Fixed(JwkSet),
    /// Fetched from the issuer, again and again.
    Published(Arc<PublishedKeys>),
    /// None: the issuer is asked about each token.
    Nowhere,
}

impl From<JwkSet> for Keys {
    fn from(keys: JwkSet) -> Self {
        Self::Fixed(keys)
    }
}

impl Keys {
    pub(super) fn verify_signature(&self, jws: &Jws<'_>, now: u64, steps: StepSink<'_>) -> Result<u64, TokenFault> {
        match self {
            Self::Fixed(keys) => keys.verify_signature(jws, now, steps),
            Self::Published(published) => {
                steps.note("keys", published.has_keys(now), || {
                    let JwksStatus { issuer, keys, age, last_outcome, .. } = published.standing(now);
                    let saw = match age {
                        Some(age) => format!("{keys} keys, fetched {} ago", span(age)),
                        None => {
                            let last = match last_outcome {
                                None => "no fetch has ended yet".to_owned(),
                                Some(outcome) => format!("the last fetch: {outcome}"),
                            };
                            format!("none: they have not been fetched, or too long ago; {last}")
                        }
                    };
                    StepDetail::new(format!("the keys of {}", shown(&issuer)), saw)
                });
                published.verify_signature(jws, now, steps)
            }
            Self::Nowhere => Err(TokenFault::UnknownKey),
        }
    }
}

/// Verifies by keys that may be fetched, outside of a route: once more after a fetch that can cure the fault, for which it
/// waits up to a second.
///
/// # Errors
/// The fault; [`TokenFault::NoKeys`] where nobody knows.
pub(in crate::auth) async fn verified_patiently<T>(
    published: Option<&Arc<PublishedKeys>>,
    verify: impl Fn() -> Result<T, TokenFault>,
) -> Result<T, TokenFault> {
    let found = verify();
    let Some(published) = published else { return found };
    let found = match found {
        Err(fault) if published.may_learn(fault) => {
            published.ask().await;
            verify()
        }
        found => found,
    };
    found.map_err(|fault| published.judged(fault))
}
