//! `login.accounts.ldap`: the company's directory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{FilePath, SecretRef};
use crate::config::scalar::Duration;

/// A directory (LDAP version 3) that verifies passwords by a simple bind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ldap {
    /// Its address: ldaps://HOST, or ldap://HOST with `start_tls`.
    pub url: String,
    /// A PEM file of the CA certificates by which it is verified. Default: those of the system.
    pub ca: Option<FilePath>,
    /// Begin TLS on the plain connection (RFC 4511 section 4.14).
    #[serde(default)]
    pub start_tls: bool,
    /// Send passwords without TLS to another machine. Anyone on the way can read them.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// Who binds: the customer, where `{username}` stands in it, such as "uid={username},ou=people,dc=example"; otherwise
    /// the account that searches, with `bind_password`.
    pub bind_dn: String,
    /// The password of the account that searches.
    pub bind_password: Option<SecretRef>,
    /// The entry below which customers are searched.
    pub base: Option<String>,
    /// The filter by which they are found, such as "(uid={username})".
    pub filter: Option<String>,
    /// The attribute that names the customer and never changes, such as entryUUID or objectGUID.
    pub subject: String,
    /// Claims of the JWT, by attributes such as memberOf: those of `login.claims` that the directory knows.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// How long one login may take there.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Most connections to it at once.
    #[serde(default = "default_connections")]
    pub connections: usize,
}

fn default_timeout() -> Duration {
    Duration::seconds(5)
}

fn default_connections() -> usize {
    16
}
