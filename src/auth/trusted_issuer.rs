//! Issuers besides this gateway whose tokens are accepted.

use std::collections::HashMap;
use std::sync::Arc;

use super::jwt::Verifier;
use super::jwt::security_event::EventVerifier;
use crate::secret::Secret;

/// An issuer besides this gateway.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Checks its customers' tokens.
    pub verifier: Verifier,
    /// What it may tell of its own accord, where that is anything.
    pub events: Option<Arc<ProviderEvents>>,
}

/// What an issuer may tell of its own accord.
#[derive(Debug)]
pub struct ProviderEvents {
    /// Checks its logout tokens.
    pub logout: Option<EventVerifier>,
    /// Checks its security event tokens.
    pub security_events: Option<EventVerifier>,
    /// The `Authorization` of security events.
    pub authorization: Option<Secret>,
    /// Its customers are told apart by `sub`.
    pub names_by_sub: bool,
    /// Longest life of its tokens, in seconds: for so long an ended session is remembered.
    pub longest: u64,
}

/// The trusted issuers, by `iss`.
#[derive(Debug, Default)]
pub struct TrustedIssuers(HashMap<String, TrustedIssuer>);

impl TrustedIssuers {
    /// The issuer that writes this `iss` into its tokens.
    pub fn find(&self, iss: &str) -> Option<&TrustedIssuer> {
        self.0.get(iss)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TrustedIssuer)> {
        self.0.iter().map(|(iss, issuer)| (iss.as_str(), issuer))
    }
}

impl FromIterator<(String, TrustedIssuer)> for TrustedIssuers {
    fn from_iter<Entries: IntoIterator<Item = (String, TrustedIssuer)>>(entries: Entries) -> Self {
        Self(entries.into_iter().collect())
    }
}
