//! Filter of a backend's response: `routes[].response`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::Size;

/// Filter of a JSON response. Paths are JSON pointers in which `*` stands for every element of a list, or every member
/// of an object.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseRules {
    /// Members to forward, such as /customer/id or /orders/*/status; all others are removed. Default: all pass.
    pub allow: Option<Vec<String>>,
    /// Members to remove.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Values to overwrite.
    #[serde(default)]
    pub redact: Vec<Redaction>,
    /// Forward only JSON, even if there is nothing to remove.
    #[serde(default)]
    pub json: bool,
    /// Read JSON also under another Content-Type than JSON's, or without one, as old servers send it; it is forwarded as
    /// application/json.
    #[serde(default)]
    pub any_content_type: bool,
    /// Largest response, which is held in memory; above it 502.
    #[serde(default = "default_body")]
    pub body: Size,
}

fn default_body() -> Size {
    Size::mib(1)
}

/// Members that are written over.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// The values. Default: all texts and numbers of the response, which needs `pattern`.
    pub path: Option<String>,
    /// The part to overwrite, in the syntax of Rust's regex crate, such as "[0-9]{13,19}". Default: all of it.
    pub pattern: Option<String>,
    /// The replacement. Beside `pattern`, `$1` is its first group.
    #[serde(default = "default_with")]
    pub with: String,
}

fn default_with() -> String {
    "[redacted]".to_owned()
}
