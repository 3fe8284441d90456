//! Where callers of a route show what proves a system: `client_from`, `api_key_header`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place of a client's credential.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ClientSource {
    /// `Authorization`.
    Scheme(ClientScheme),
    /// A header that holds one of its `header_secrets`.
    Header(SecretHeader),
}

/// A scheme of `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientScheme {
    /// An access token.
    Bearer,
    /// The client's id and one of its `secrets` (RFC 7617).
    Basic,
}

/// A header that holds a client's secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretHeader {
    /// Name of a header that holds one of `clients[].header_secrets`.
    pub header: String,
}

/// The client's places where a route does not say.
pub(super) fn default_client_sources() -> Vec<ClientSource> {
    vec![ClientSource::Scheme(ClientScheme::Bearer)]
}

/// The header of the API key: its name, or its name and the scheme before the key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ApiKeyHeader {
    /// The key alone.
    Name(String),
    /// The key after a scheme.
    Schemed(SchemedHeader),
}

/// A header that holds an API key after a scheme.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemedHeader {
    /// Name of the header, such as Authorization.
    pub name: String,
    /// The word before the key, such as `ApiKey`.
    pub scheme: String,
}

impl ApiKeyHeader {
    /// The name of the header.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Schemed(SchemedHeader { name, .. }) => name,
        }
    }

    /// The word before the key.
    pub fn scheme(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Schemed(header) => Some(&header.scheme),
        }
    }
}

pub(super) fn default_api_key_header() -> ApiKeyHeader {
    ApiKeyHeader::Name("api-key".to_owned())
}
