//! Issuers besides this gateway whose tokens are accepted.

use std::collections::HashMap;

use super::jwt::Verifier;

/// An issuer besides this gateway.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Checks its customers' tokens.
    pub verifier: Verifier,
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
