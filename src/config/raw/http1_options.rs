//! How a backend wants its HTTP/1 written, and what is forgiven of its answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Letter case of header names in HTTP/1 requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeaderCase {
    /// `content-type`.
    #[default]
    Lower,
    /// `Content-Type`.
    Title,
}

/// A fault of HTTP/1 answers that can be forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tolerated {
    /// A field that goes on in the next line (RFC 9112 section 5.2): it becomes one line.
    FoldedFields,
    /// A line that is no field: it is dropped, unless it could be about the length of the body.
    InvalidFields,
    /// A status line with another letter case, other blanks, or control bytes in its reason phrase.
    OddStatusLines,
    /// TLS that ends without close_notify at the end of a body that only the end of the connection ends.
    MissingCloseNotify,
}

impl Tolerated {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FoldedFields => "folded_fields",
            Self::InvalidFields => "invalid_fields",
            Self::OddStatusLines => "odd_status_lines",
            Self::MissingCloseNotify => "missing_close_notify",
        }
    }
}
