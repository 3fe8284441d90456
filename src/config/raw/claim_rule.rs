//! Conditions on claims.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Condition on a claim: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ClaimRule {
    /// This value, of the same type.
    Equals(ClaimValue),
    /// One of these values.
    OneOf(Vec<ClaimValue>),
    /// A list with this value in it, or a text of words with this one among them.
    Contains(ClaimValue),
    /// Anything: `present: true`.
    Present(bool),
    /// Not there at all: `absent: true`.
    Absent(bool),
}

/// A value of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimValue {
    /// A text.
    Text(String),
    /// true or false.
    Flag(bool),
    /// A whole number.
    Number(u64),
}
