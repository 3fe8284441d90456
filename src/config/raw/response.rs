//! What of a backend's answer passes: `routes[].response`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::scalar::Size;

/// What of a JSON answer passes. Paths are JSON pointers in which `*` stands for every element of a list, or every member
/// of an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseRules {
    /// The members that pass, such as /customer/id or /orders/*/status; all others go. Default: all pass.
    pub allow: Option<Vec<String>>,
    /// The members that go.
    #[serde(default)]
    pub remove: Vec<String>,
    /// The members that are written over.
    #[serde(default)]
    pub redact: Vec<Redaction>,
    /// Only JSON passes, whether or not there is anything to remove.
    #[serde(default)]
    pub json: bool,
    /// The largest answer, which is held in memory; above it 502.
    #[serde(default = "default_body")]
    pub body: Size,
}

fn default_body() -> Size {
    Size::mib(1)
}

/// Members that are written over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// Which. Default: all texts and numbers of the answer, which needs `pattern`.
    pub path: Option<String>,
    /// What in them, in the syntax of Rust's regex crate, such as "[0-9]{13,19}". Default: all of it.
    pub pattern: Option<String>,
    /// What is written in its place. Beside `pattern`, `$1` is its first group.
    #[serde(default = "default_with")]
    pub with: String,
}

fn default_with() -> String {
    "[redacted]".to_owned()
}
