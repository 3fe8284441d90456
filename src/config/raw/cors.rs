//! Pages of other origins: `routes[].cors`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::scalar::Duration;

/// Which pages of other origins may call a route from a browser, with the methods of the route.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Their origins, such as https://www.example.com; or only "*" for all.
    pub origins: Vec<String>,
    /// Request headers that they may set beside the CORS-safelisted ones, such as Authorization.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Response headers that they may read beside the CORS-safelisted ones, such as X-Request-Id.
    #[serde(default)]
    pub expose: Vec<String>,
    /// Whether cookies go along. Calls by cookie that change something need `login.cookie.origins` too.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers keep the answer to a preflight.
    #[serde(default = "default_max_age")]
    pub max_age: Duration,
}

fn default_max_age() -> Duration {
    Duration::seconds(600)
}
