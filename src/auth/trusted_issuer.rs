//! Issuers besides this gateway whose tokens are accepted.

use std::collections::HashMap;
use std::sync::Arc;

use super::client_role::ClientRole;
use super::jwt::Verifier;
use super::jwt::jws::Members;
use super::jwt::remote_jwks::PublishedKeys;
use super::jwt::security_event::EventVerifier;
use super::opaque_token::Introspector;
use super::requirements::IssuerNumber;
use crate::secret::Secret;

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
    /// What it may tell of its own accord, where that is anything.
    pub events: Option<Arc<ProviderEvents>>,
    /// Asks it about tokens that only it can read, where it is asked.
    pub introspector: Option<Arc<Introspector>>,
}

impl TrustedIssuer {
    /// Returns whether a token of this issuer with these claims is a client's rather than a customer's.
    pub(super) fn is_of_client(&self, claims: &Members) -> bool {
        self.clients.as_ref().is_some_and(|role| role.is_of_client(claims))
    }
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
    /// Customers log in at it.
    pub logs_customers_in: bool,
    /// Longest life of its tokens, in seconds: for so long an ended session is remembered.
    pub longest: u64,
}

/// The trusted issuers, by `iss`.
#[derive(Debug, Default)]
pub struct TrustedIssuers {
    all: Vec<TrustedIssuer>,
    /// Positions in `all`. An issuer may have several spellings.
    by_iss: HashMap<String, usize>,
    introspects: bool,
}

impl TrustedIssuers {
    /// The issuer that writes this `iss` into its tokens.
    pub fn find(&self, iss: &str) -> Option<&TrustedIssuer> {
        self.by_iss.get(iss).and_then(|position| self.all.get(*position))
    }

    /// Returns whether some issuer is asked about tokens that only it can read.
    pub fn introspects(&self) -> bool {
        self.introspects
    }

    /// Those that are asked about customers' tokens, in the order of the configuration.
    pub fn introspecting_customers(&self) -> impl Iterator<Item = &TrustedIssuer> + Clone {
        self.all.iter().filter(|issuer| issuer.introspector.is_some() && issuer.customers)
    }

    /// Those that are asked about system tokens, in the order of the configuration.
    pub fn introspecting_clients(&self) -> impl Iterator<Item = &TrustedIssuer> + Clone {
        self.all.iter().filter(|issuer| issuer.introspector.is_some() && issuer.clients.is_some())
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

    /// Returns whether a client that is not configured could have this name: `ISSUER#ID`.
    pub fn could_name_client(&self, name: &str) -> bool {
        self.all.iter().filter_map(|issuer| issuer.clients.as_ref()).any(|role| role.could_be_named(name))
    }
}

impl FromIterator<(Vec<String>, TrustedIssuer)> for TrustedIssuers {
    /// From issuers with all values of their `iss`.
    fn from_iter<Entries: IntoIterator<Item = (Vec<String>, TrustedIssuer)>>(entries: Entries) -> Self {
        let mut issuers = Self::default();
        for (spellings, issuer) in entries {
            let position = issuers.all.len();
            issuers.by_iss.extend(spellings.into_iter().map(|iss| (iss, position)));
            issuers.introspects |= issuer.introspector.is_some();
            issuers.all.push(issuer);
        }
        issuers
    }
}
