//! Routes that the gateway answers itself: `routes[].respond` and `routes[].redirect`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A response that is the same for all callers.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body. Default: empty.
    #[serde(default)]
    pub body: String,
}

/// A redirect.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRedirect {
    /// The address, such as https://www.example.com/new, or a path on the same host.
    pub to: String,
    /// The status: 301, 302, 303, 307 or 308. After 301, 302 and 303 most callers go on with GET; 301 and 308 are
    /// remembered by browsers.
    #[serde(default = "default_status")]
    pub status: u16,
    /// Append the path behind that of the route, and the query.
    #[serde(default)]
    pub keep_path: bool,
}

fn default_status() -> u16 {
    307
}
