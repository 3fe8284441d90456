//! `access_token`, read: grant types, lifetimes and lockout of the token endpoint.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::cors::Cors;
use super::lockout::costs;
use crate::auth::Client;
use crate::auth::credentials::password::Decoy;
use crate::config::raw::{self, GrantType, NumberStyle, Raw};
use crate::state::login_lockout::Costs;

/// The token endpoint.
pub struct AccessToken {
    /// The grant types that some client may use, beside `refresh_token`.
    pub grant_types: Vec<GrantType>,
    /// Lifetime of a token, in seconds.
    pub lifetime: u64,
    /// Longest lifetime of a token by which a client acts for a customer, in seconds.
    pub exchange_lifetime: u64,
    /// JSON type of numbers in responses.
    pub number_style: NumberStyle,
    /// Rate limit of failed verifications of one client, from all addresses together.
    pub limit: raw::RateLimit,
    /// Delays after wrong secrets and assertions.
    pub attempts: Costs,
    /// Decoy hash for clients that do not exist, with the cost of a refusal.
    pub decoy: Arc<Decoy>,
    /// CORS rules of the token endpoint and of revocation.
    pub cors: Option<Arc<Cors>>,
}

impl AccessToken {
    pub(super) fn read(raw: &Raw, token: &raw::AccessToken, clients: &HashMap<Arc<str>, Client>) -> Self {
        Self {
            grant_types: grant_types(raw),
            lifetime: token.lifetime.as_secs(),
            exchange_lifetime: token.exchange.lifetime.as_secs(),
            number_style: token.number_style,
            limit: token.limits,
            attempts: costs(&token.attempts),
            decoy: Arc::new(Decoy::of(clients.values().map(|client| client.secrets.iter().map(|secret| &secret.hash)))),
            cors: token.cors.as_ref().map(|cors| Arc::new(Cors::read(cors, &[Method::POST]))),
        }
    }
}

/// The grant types that some client may use: those that begin with a customer's token only where there are customers.
pub(super) fn grant_types(raw: &Raw) -> Vec<GrantType> {
    let has_customers = raw.identifier.is_some() && (raw.login.is_some() || !raw.trusted_issuers.is_empty());
    let is_used = |kind: &GrantType| raw.clients.iter().any(|client| client.grant_types().contains(kind));
    let is_offered = |kind: &GrantType| match kind.needs_customers() {
        true => has_customers && is_used(kind),
        false => true,
    };
    GrantType::ALL.into_iter().filter(is_offered).collect()
}
