//! `access_token`, read: lifetime and lockout of the client credentials grant.

use std::collections::HashMap;
use std::sync::Arc;

use super::lockout::costs;
use crate::auth::Client;
use crate::auth::credentials::password::Decoy;
use crate::config::raw::{self, NumberStyle};
use crate::state::login_lockout::Costs;

/// The client credentials grant.
pub struct AccessToken {
    /// Lifetime of a token, in seconds.
    pub lifetime: u64,
    /// JSON type of numbers in responses.
    pub number_style: NumberStyle,
    /// Rate limit of failed verifications of one client, from all addresses together.
    pub limit: raw::RateLimit,
    /// Delays after wrong secrets and assertions.
    pub attempts: Costs,
    /// Decoy hash for clients that do not exist, with the cost of a refusal.
    pub decoy: Arc<Decoy>,
}

impl AccessToken {
    pub(super) fn read(token: &raw::AccessToken, clients: &HashMap<Arc<str>, Client>) -> Self {
        Self {
            lifetime: token.lifetime.as_secs(),
            number_style: token.number_style,
            limit: token.limits,
            attempts: costs(&token.attempts),
            decoy: Arc::new(Decoy::of(clients.values().map(|client| client.secrets.iter().map(|secret| &secret.hash)))),
        }
    }
}
