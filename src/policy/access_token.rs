//! `access_token`, read: lifetime and lockout of the client credentials grant.

use std::collections::HashMap;
use std::sync::Arc;

use super::lockout::costs;
use crate::auth::Client;
use crate::auth::credentials::password::Decoy;
use crate::config::raw::{self, NumberStyle};
use crate::state::login_lockout::Costs;

/// How clients get a token.
pub struct AccessToken {
    /// For how many seconds.
    pub lifetime: u64,
    /// How numbers are written.
    pub number_style: NumberStyle,
    /// How many failures of one client may be verified, from wherever they come.
    pub limit: raw::RateLimit,
    /// What wrong secrets and assertions cost.
    pub attempts: Costs,
    /// What is hashed for clients that do not exist, and what a refusal of a secret costs.
    pub decoy: Decoy,
}

impl AccessToken {
    pub(super) fn read(token: &raw::AccessToken, clients: &HashMap<Arc<str>, Client>) -> Self {
        Self {
            lifetime: token.lifetime.as_secs(),
            number_style: token.number_style,
            limit: token.limits,
            attempts: costs(&token.attempts),
            decoy: Decoy::of(clients.values().map(|client| client.secrets.iter().map(|secret| &secret.hash))),
        }
    }
}
