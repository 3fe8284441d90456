//! Pages of other origins: `routes[].cors`, `login.cors`, `access_token.cors`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::Duration;

/// Which pages of other origins may call from a browser, with the methods of the route or endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Allowed origins, such as https://www.example.com; or only "*" for all.
    pub origins: Vec<String>,
    /// Allowed request headers beside the CORS-safelisted ones, such as Authorization.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Readable response headers beside the CORS-safelisted ones, such as X-Request-Id.
    #[serde(default)]
    pub expose: Vec<String>,
    /// Allow cookies. State-changing calls by cookie need `login.cookie.origins` too. Not with "*".
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers cache the answer to a preflight.
    #[serde(default = "default_max_age")]
    pub max_age: Duration,
}

fn default_max_age() -> Duration {
    Duration::seconds(600)
}
