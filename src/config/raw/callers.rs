//! Who may call: `clients`, `api_keys`.

use schemars::JsonSchema;
use serde::Deserialize;

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
