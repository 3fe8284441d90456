//! What outlives a request: `state`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where logins, revocations and failed attempts are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// In one file of this process, which survives restarts.
    pub embedded: Embedded,
}

/// State in one file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Embedded {
    /// The directory of the file. It is made where it is missing. One process at a time can use it.
    pub path: PathBuf,
    /// How many sessions may be live at once. Above it, logins by cookie are refused with 503.
    pub max_sessions: usize,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { path: PathBuf::from("data/"), max_sessions: 2_000_000 }
    }
}
