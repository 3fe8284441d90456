//! Roles of trusted issuers: whose tokens they issue, and what their clients' tokens look like.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::ClaimRule;

/// Whose tokens an issuer issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IssuerRole {
    /// Customers.
    Customer,
    /// Systems (the client credentials grant): for routes that require `client`.
    Client,
}

/// The role of customers' issuer, where `for` does not say.
pub(super) fn default_roles() -> Vec<IssuerRole> {
    vec![IssuerRole::Customer]
}

/// System tokens of an issuer: how a client is named in them, and how they differ from customers' tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientRole {
    /// The claim with the client's id, such as azp, `client_id`, appid or sub: its name, or a JSON pointer.
    #[serde(default = "default_id")]
    pub id: String,
    /// The claim with its scopes, such as scope, scp or roles: a list, or words separated by spaces.
    #[serde(default = "default_scopes")]
    pub scopes: String,
    /// Accept every client of this issuer, under the name ISSUER#ID, with the scopes of its token. Default: only those
    /// of `clients`.
    #[serde(default)]
    pub any: bool,
    /// Conditions that system tokens meet and customers' tokens do not, by claim name or JSON pointer. At least one.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimRule>,
}

fn default_id() -> String {
    "azp".to_owned()
}

fn default_scopes() -> String {
    "scope".to_owned()
}
