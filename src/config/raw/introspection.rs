//! Introspection of tokens at their issuer: `trusted_issuers[].introspection`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, OAuthClientAuth, SecretRef};
use crate::config::scalar::Duration;

/// The endpoint of an issuer that says whether a token is good (RFC 7662), and how this gateway authenticates there: by
/// `client_secret` or `private_key`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// The https address of the endpoint.
    pub url: String,
    /// The id of this gateway there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretRef>,
    /// A PEM file of the private key with which it signs its assertions (`private_key_jwt`, RFC 7523).
    pub private_key: Option<FilePath>,
    /// How the secret is shown: in `Authorization: Basic`, or in the form.
    #[serde(default)]
    pub auth: OAuthClientAuth,
    /// `aud` of its assertions. Default: `issuer`.
    pub audience: Option<String>,
    /// Longest use of an answer that a token is good. A token that is revoked at the issuer is good for so much longer.
    #[serde(default = "default_cache")]
    pub cache: Duration,
}

fn default_cache() -> Duration {
    Duration::seconds(60)
}
