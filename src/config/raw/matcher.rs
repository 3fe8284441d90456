//! Choices within a route's path: `routes[].headers`, `routes[].queries` and `routes[].backends`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition on a header field or a query parameter: its name, and one of the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// Its name. Letter case counts in the query.
    pub name: String,
    /// The whole value.
    pub equals: Option<String>,
    /// The beginning of the value.
    pub prefix: Option<String>,
    /// It is there, whatever its value.
    #[serde(default)]
    pub present: bool,
    /// It is not there.
    #[serde(default)]
    pub absent: bool,
    /// An expression of the whole value, in the syntax of Rust's regex crate.
    pub regex: Option<String>,
}

/// One of several backends of a route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedBackend {
    /// The name of the backend.
    pub name: String,
    /// Its share of the callers relative to the other backends. 0: none.
    pub weight: u32,
}
