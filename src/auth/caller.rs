//! The proved caller of a request, without which nothing is forwarded.

use std::sync::Arc;

use super::attribution::Attribution;
use super::context::AuthContext;
use super::jwt::forwarded_claims::ForwardedClaims;
use crate::customer::Identifier;

/// The proved caller. A request reaches a backend only together with one of these.
#[derive(Debug)]
pub struct Caller {
    /// The client of the access token.
    pub client: Option<Arc<str>>,
    /// The id of the API key.
    pub api_key: Option<Arc<str>>,
    /// The customer.
    pub customer: Option<Identifier>,
    /// The identifier of the customer under the key before the last rotation, while backends still get it.
    pub previous: Option<Identifier>,
    /// Claims of the customer's token that backends may be told.
    pub claims: Option<Arc<ForwardedClaims>>,
    /// Only a cookie speaks for the customer: a browser sends it along whoever made it call.
    pub by_cookie: bool,
    _seal: Seal,
}

/// Nobody outside of this module can make one.
#[derive(Debug)]
struct Seal;

impl Caller {
    /// Nothing is proved yet.
    pub(super) fn nobody() -> Self {
        Self {
            client: None,
            api_key: None,
            customer: None,
            previous: None,
            claims: None,
            by_cookie: false,
            _seal: Seal,
        }
    }

    /// Forgets who calls. For what is found out after the check of the credentials, and takes the proof away; a route that
    /// observes forwards the call all the same, as that of nobody.
    pub fn disprove(&mut self) {
        *self = Self::nobody();
    }

    /// The attribution: owners of credentials that were accepted, and of those that are authentic at least.
    pub(super) fn known(&self, context: &mut AuthContext<'_>) -> Attribution {
        let mut known = std::mem::take(&mut context.known);
        let Self { client, api_key, customer, .. } = self;
        known.add(Attribution {
            client: client.clone(),
            api_key: api_key.clone(),
            customer: customer.clone(),
            lacks: None,
        });
        known
    }
}
