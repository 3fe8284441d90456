//! Who may call: `clients`, `api_keys`, `trusted_issuers`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::scalar::Duration;

/// A system that may call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// The argon2id hashes of its secrets; two may be live at once. Made by `wicketgate new client-secret`.
    pub secrets: Vec<String>,
    /// What its tokens may do.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// An API key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name in logs and metrics.
    pub id: String,
    /// Hex SHA-256 of the whole key as sent; two may be live at once. Made by `wicketgate new api-key`.
    pub sha256: Vec<String>,
    /// The only client that may use it.
    pub client: Option<String>,
    /// The names of the routes that it opens.
    pub routes: Vec<String>,
    /// How many calls it may make.
    pub quota: Option<Quota>,
}

/// How many calls an API key may make. Above it 429 until the next day or month.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// In a day of UTC.
    pub day: Option<u64>,
    /// In a month of UTC.
    pub month: Option<u64>,
}

/// An issuer of customers' tokens besides this gateway.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens, exactly.
    pub issuer: String,
    /// Its public keys.
    pub jwks: Jwks,
    /// The `aud` values that are meant for us; one of them must be in the token.
    pub audiences: Vec<String>,
    /// The signature algorithms that it uses.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// The claim that the identifier is derived from.
    #[serde(default = "default_subject_claim")]
    pub subject: String,
    /// By how much its clock may differ from ours. At most 60s.
    #[serde(default = "super::issuing::default_clock_skew")]
    pub clock_skew: Duration,
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

/// The public keys of an issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Jwks {
    /// A JSON file: a JWK set (RFC 7517 section 5).
    File(PathBuf),
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}
