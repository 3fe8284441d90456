//! Client of the API, as configured: its credentials, scopes and audiences.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::client_assertion::Assertions;
use super::credentials::password;
use super::redirect_uris::RedirectUris;
use super::tls::certificate::{Certificate, CertificateName, Thumbprint};
use crate::config::raw::{GrantType, TokenReach};
use crate::key_validity::LastUse;

/// A configured client.
#[derive(Debug)]
pub struct Client {
    /// The client id.
    pub id: Arc<str>,
    /// Its secrets.
    pub secrets: Vec<ClientSecret>,
    /// Verifies its assertions, where it has keys.
    pub assertions: Option<Assertions>,
    /// Scopes that its tokens may have.
    pub scopes: Vec<String>,
    /// Audiences that its tokens may have.
    pub audiences: Vec<String>,
    /// Lifetime of its tokens, in seconds; `None`: the default.
    pub lifetime: Option<u64>,
    /// Further claims of its access tokens.
    pub claims: BTreeMap<String, Value>,
    /// The name of the certificate without which its tokens are refused.
    pub certificate: Option<Arc<CertificateName>>,
    /// Binds its tokens to the certificate with which it asks for them (RFC 8705).
    pub certificate_bound: bool,
    /// The certificate, signed by a CA, that authenticates it (`tls_client_auth`).
    pub tls_client_auth: Option<CertificateName>,
    /// Thumbprints of pinned certificates that authenticate it, whoever signed them (`self_signed_tls_client_auth`).
    pub certificates: Vec<Thumbprint>,
    /// Grant types that it may use.
    pub grant_types: Vec<GrantType>,
    /// Where customers return to with an authorization code; without any it gets none.
    pub redirect_uris: RedirectUris,
    /// It has no proof of itself (RFC 6749 section 2.1).
    pub is_public: bool,
    /// Its authorization requests must have a `code_challenge` (RFC 7636).
    pub requires_pkce: bool,
    /// Tokens that it may introspect.
    pub introspect: TokenReach,
    /// Tokens that it may revoke.
    pub revoke: TokenReach,
}

impl Client {
    /// Returns whether this certificate authenticates the client (RFC 8705 section 2).
    pub fn is_proved_by(&self, certificate: &Certificate) -> bool {
        self.tls_client_auth.as_ref().is_some_and(|name| name.fits(certificate))
            || self.certificates.contains(&certificate.thumbprint)
    }
}

/// One of a client's secrets for a header of its own.
#[derive(Debug, Clone)]
pub struct HeaderSecret {
    /// The client.
    pub client: Arc<str>,
    /// The first second, since 1970, in which it is no longer good.
    pub until: u64,
    /// The time of its last use.
    pub used: Arc<LastUse>,
}

/// A client's secret.
#[derive(Debug, Clone)]
pub struct ClientSecret {
    /// Its hash.
    pub hash: password::PasswordHash,
    /// The first second, since 1970, in which it is no longer good.
    pub until: u64,
    /// The time of its last use.
    pub used: Arc<LastUse>,
}
