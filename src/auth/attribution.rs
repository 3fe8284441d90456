//! Attribution of a request: the owners of its authentic credentials, also where it is refused.

use std::sync::Arc;

use crate::customer::Identifier;

/// Owners of a request's credentials. A name stands here only where its credential is authentic: an API key of
/// gateway.yaml, a token whose signature is right, a session cookie of ours. It may be refused all the same, as one
/// that has expired.
#[derive(Debug, Clone, Default)]
pub struct Attribution {
    /// The client of the access token.
    pub client: Option<Arc<str>>,
    /// The id of the API key.
    pub api_key: Option<Arc<str>>,
    /// The customer.
    pub customer: Option<Identifier>,
    /// The scopes that the access token lacks, separated by spaces.
    pub lacks: Option<Box<str>>,
}

impl Attribution {
    /// Returns whether a client or an API key is known.
    pub fn names_caller(&self) -> bool {
        self.client.is_some() || self.api_key.is_some()
    }

    /// Adds what another one knows, and keeps the rest.
    pub fn add(&mut self, more: Self) {
        let Self { client, api_key, customer, lacks } = more;
        take(&mut self.client, client);
        take(&mut self.api_key, api_key);
        take(&mut self.customer, customer);
        take(&mut self.lacks, lacks);
    }
}

fn take<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

/// Outcome of a check. It can be had only together with the attribution: no way out of a check skips that.
#[must_use]
#[derive(Debug)]
pub struct Attributed<T> {
    known: Attribution,
    outcome: T,
}

impl<T> Attributed<T> {
    pub(super) fn new(known: Attribution, outcome: T) -> Self {
        Self { known, outcome }
    }

    /// The outcome.
    pub fn noted_in(self, place: &mut Attribution) -> T {
        place.add(self.known);
        self.outcome
    }
}
