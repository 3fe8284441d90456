//! Issuers besides this gateway whose tokens are accepted.

use std::collections::HashMap;
use std::sync::Arc;

use super::jwt::Verifier;
use super::opaque_token::Introspector;

/// An issuer besides this gateway.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Checks its customers' tokens.
    pub verifier: Verifier,
    /// Asks it about tokens that only it can read, where it is asked.
    pub introspector: Option<Arc<Introspector>>,
}

/// The trusted issuers, by `iss`.
#[derive(Debug, Default)]
pub struct TrustedIssuers {
    all: HashMap<String, TrustedIssuer>,
    /// Those that are asked about tokens, in the order of the configuration.
    introspecting: Vec<String>,
}

impl TrustedIssuers {
    /// The issuer that writes this `iss` into its tokens.
    pub fn find(&self, iss: &str) -> Option<&TrustedIssuer> {
        self.all.get(iss)
    }

    /// Returns whether some issuer is asked about tokens that only it can read.
    pub fn introspects(&self) -> bool {
        !self.introspecting.is_empty()
    }

    /// Those that are asked about tokens, in the order of the configuration.
    pub fn introspecting(&self) -> impl Iterator<Item = &TrustedIssuer> + Clone {
        self.introspecting.iter().filter_map(|iss| self.find(iss))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TrustedIssuer)> {
        self.all.iter().map(|(iss, issuer)| (iss.as_str(), issuer))
    }
}

impl FromIterator<(String, TrustedIssuer)> for TrustedIssuers {
    fn from_iter<Entries: IntoIterator<Item = (String, TrustedIssuer)>>(entries: Entries) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let asked = entries.iter().filter(|(_, issuer)| issuer.introspector.is_some());
        let introspecting = asked.map(|(iss, _)| iss.clone()).collect();
        Self { all: entries.into_iter().collect(), introspecting }
    }
}
