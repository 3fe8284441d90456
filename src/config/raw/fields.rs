//! Header fields that are set and removed: `request_headers` and `response_headers`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Header fields that are set and removed. Those that carry credentials, identities or framing cannot be named.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldRules {
    /// Fields to write, in place of those of the same name. In requests `${client.id}`, `${api_key.id}`,
    /// `${claims.NAME}` and `${request.id}` stand for what is proved of the call.
    pub set: BTreeMap<String, String>,
    /// Fields to remove.
    pub remove: Vec<String>,
}
