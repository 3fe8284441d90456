//! Issuers besides this gateway whose tokens are accepted.

use std::collections::HashMap;

use super::client_role::ClientRole;
use super::jwt::{Compact, Verifier};
use super::requirements::IssuerNumber;

/// An issuer besides this gateway.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Its number.
    pub number: IssuerNumber,
    /// Checks its customers' tokens.
    pub verifier: Verifier,
    /// It issues customers' tokens.
    pub customers: bool,
    /// It issues system tokens.
    pub clients: Option<Box<ClientRole>>,
}

impl TrustedIssuer {
    /// Returns whether a token of this issuer is a client's rather than a customer's.
    pub(super) fn is_of_client(&self, token: &Compact<'_>) -> bool {
        self.clients.as_ref().is_some_and(|role| role.is_of_client(token))
    }
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

    /// Returns whether a client that is not configured could have this name: `ISSUER#ID`.
    pub fn could_name_client(&self, name: &str) -> bool {
        self.0.values().filter_map(|issuer| issuer.clients.as_ref()).any(|role| role.could_be_named(name))
    }
}

impl FromIterator<(String, TrustedIssuer)> for TrustedIssuers {
    fn from_iter<Entries: IntoIterator<Item = (String, TrustedIssuer)>>(entries: Entries) -> Self {
        Self(entries.into_iter().collect())
    }
}
