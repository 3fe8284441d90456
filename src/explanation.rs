//! Explanation of one decision: each check of a request with what it wanted and what it saw. Secrets are masked before
//! they come here.

pub mod trace;

use serde::{Deserialize, Serialize};

/// The outcome of a whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It goes to the backend.
    Passed,
    /// It is refused.
    Refused,
}

/// The outcome of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepVerdict {
    /// It was met.
    Passed,
    /// It refused the request.
    Refused,
    /// It would have refused; the route only observes.
    Observed,
    /// It was not made: an earlier one refused, or what it needs is not here.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStep {
    /// The check, such as `listener`, `route`, `api_key`, `client_token`.
    pub check: String,
    /// Its outcome.
    pub verdict: StepVerdict,
    /// What it wanted.
    pub wanted: String,
    /// What it saw, masked.
    pub saw: String,
    /// The place in gateway.yaml that decides, as a JSON pointer such as `/routes/2/scopes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The line of that place, where the file is at hand.
    pub line: Option<u32>,
}

/// The explanation of one decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The outcome.
    pub verdict: Decision,
    /// The word of the refusal, also of one that a route only observed.
    pub refusal: Option<String>,
    /// The status of the response, where the gateway decides it.
    pub status: Option<u16>,
    /// The code that the caller got.
    pub code: Option<String>,
    /// The name of the route or endpoint.
    pub route: Option<String>,
    /// The checks in their order.
    pub steps: Vec<CheckStep>,
    /// The identifier that the backend would get.
    pub identifier: Option<String>,
    /// The head of the request that the backend would get, one line each, masked.
    #[serde(default)]
    pub backend_request: Vec<String>,
    /// What to change.
    pub remedy: Option<String>,
}
