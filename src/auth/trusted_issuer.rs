//! Issuers besides this gateway whose tokens are accepted.

use std::collections::HashMap;
use std::sync::Arc;

use super::jwt::Verifier;
use super::jwt::remote_jwks::PublishedKeys;

/// An issuer besides this gateway.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Checks its customers' tokens.
    pub verifier: Verifier,
}

/// The trusted issuers, by `iss`.
#[derive(Debug, Default)]
pub struct TrustedIssuers {
    all: Vec<TrustedIssuer>,
    /// Positions in `all`. An issuer may have several spellings.
    by_iss: HashMap<String, usize>,
}

impl TrustedIssuers {
    /// The issuer that writes this `iss` into its tokens.
    pub fn find(&self, iss: &str) -> Option<&TrustedIssuer> {
        self.by_iss.get(iss).and_then(|position| self.all.get(*position))
    }

    /// All of them, each tenant of its own, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedIssuer> {
        self.all.iter()
    }

    /// The keys that are fetched, each once: tenants of one issuer have the same.
    pub fn published(&self) -> impl Iterator<Item = &Arc<PublishedKeys>> {
        let mut last: Option<&Arc<PublishedKeys>> = None;
        let each = self.all.iter().filter_map(|issuer| issuer.verifier.published());
        each.filter(move |keys| !last.replace(keys).is_some_and(|last| Arc::ptr_eq(last, keys)))
    }
}

impl FromIterator<(Vec<String>, TrustedIssuer)> for TrustedIssuers {
    /// From issuers with all values of their `iss`.
    fn from_iter<Entries: IntoIterator<Item = (Vec<String>, TrustedIssuer)>>(entries: Entries) -> Self {
        let mut issuers = Self::default();
        for (spellings, issuer) in entries {
            let position = issuers.all.len();
            issuers.by_iss.extend(spellings.into_iter().map(|iss| (iss, position)));
            issuers.all.push(issuer);
        }
        issuers
    }
}
