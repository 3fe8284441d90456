//! `login.accounts.ldap`: the company's directory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FilePath;
use crate::config::SecretRef;
use crate::config::scalar::Duration;

/// A directory (LDAP version 3) that verifies passwords by a simple bind: as the entry that `bind_dn` names, or as the one
/// that `search` finds.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ldap {
    /// Its address: ldaps://HOST, or ldap://HOST with `start_tls`. Default ports: 636 and 389.
    pub url: String,
    /// Begin TLS on the plain connection (RFC 4511 section 4.14).
    #[serde(default)]
    pub start_tls: bool,
    /// A PEM file of the CA certificates by which the directory is verified. Default: the system's.
    pub ca: Option<FilePath>,
    /// Send passwords without TLS to another machine: anyone on the network can read them.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// The distinguished name of the customer, such as "uid={username},ou=people,dc=example,dc=com".
    pub bind_dn: Option<String>,
    /// Find the entry of the customer, where its name does not follow from the username.
    pub search: Option<LdapSearch>,
    /// The attribute that names the customer, has one value and never changes, such as entryUUID, or objectGUID of Active
    /// Directory, which is written as a UUID.
    pub subject: String,
    /// Claims of the JWT, by attributes such as memberOf: those of `login.claims` that the directory knows. Several values
    /// are a list. A JWT that a refresh token gives has none of them.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// Timeout of a login there, with connecting and TLS.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

/// A search for the entry of the customer.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapSearch {
    /// The entry below which customers are searched, such as "dc=example,dc=com".
    pub base: String,
    /// The filter by which they are found (RFC 4515), such as "(uid={username})".
    pub filter: String,
    /// The distinguished name of the account that searches.
    pub bind_dn: String,
    /// Its password.
    pub bind_password: SecretRef,
}

fn default_timeout() -> Duration {
    Duration::seconds(5)
}
