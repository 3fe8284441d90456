//! OpenAPI documents: `openapi`, and `routes[].validate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The OpenAPI document of what this gateway serves. `wicketgate openapi` prints it in any case.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenApi {
    /// Serve it to everyone at /.well-known/openapi.json. Each listener has its own, of its routes only.
    pub publish: bool,
    /// Its title.
    pub title: String,
    /// The version of the API that it describes.
    pub version: String,
}

impl Default for OpenApi {
    fn default() -> Self {
        Self { publish: false, title: "API".to_owned(), version: "1.0.0".to_owned() }
    }
}

/// What is held against the route's OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Validate {
    /// Requests: path, query, header fields, content type and JSON body.
    Request,
}
