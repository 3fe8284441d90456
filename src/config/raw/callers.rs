//! Who may call: `clients`, `api_keys`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::certificate::CertificateName;
use crate::config::scalar::Network;

/// A system that may call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// The argon2id hashes of its secrets; two may be live at once. Made by `wicketgate new client-secret`. An old one ends
    /// by itself with ` until 2026-12-01T00:00:00Z` behind it.
    pub secrets: Vec<String>,
    /// What its tokens may do.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Its certificate: its tokens are good only on connections with this one, whatever the listener.
    pub certificate: Option<CertificateName>,
}

/// An API key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name in logs and metrics.
    pub id: String,
    /// Hex SHA-256 of the whole key as sent; two may be live at once. Made by `wicketgate new api-key`. An old one ends by
    /// itself with ` until 2026-12-01T00:00:00Z` behind it.
    pub sha256: Vec<String>,
    /// The only client that may use it.
    pub client: Option<String>,
    /// The names of the routes that it opens.
    pub routes: Vec<String>,
    /// The networks that it may be used from, such as 203.0.113.0/24. Empty: any.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub allow: Vec<IpNet>,
    /// When it ends, such as 2027-01-01T00:00:00Z. Default: never.
    pub expires: Option<String>,
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
