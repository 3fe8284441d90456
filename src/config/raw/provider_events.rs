//! What an issuer tells of its own accord: `trusted_issuers[].logout`, `trusted_issuers[].security_events`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;

/// The issuer tells of logouts at POST /oauth/backchannel_logout (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderLogout {
    /// Accepted `aud` values of its logout tokens: the client id of the company's application at the issuer.
    pub audiences: Vec<String>,
}

/// The issuer pushes security events to POST /oauth/security_events (OpenID Shared Signals, RFC 8935).
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityEvents {
    /// Accepted `aud` values of its security event tokens.
    pub audiences: Vec<String>,
    /// The `Authorization` that the issuer sends with each, with or without `Bearer` before it. Default: any or none.
    pub authorization: Option<SecretRef>,
}
