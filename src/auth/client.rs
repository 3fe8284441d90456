//! A system that may call, as configured.

use std::sync::Arc;

use super::client_assertion::Assertions;
use super::credentials::password;
use super::tls::certificate::{Certificate, CertificateName, Thumbprint};
use crate::config::raw::TokenReach;
use crate::validity::LastUse;

/// A client as configured.
#[derive(Debug)]
pub struct Client {
    /// Its id.
    pub id: Arc<str>,
    /// Its secrets.
    pub secrets: Vec<ClientSecret>,
    /// Checks its assertions, where it has keys.
    pub assertions: Option<Assertions>,
    /// Scopes that its tokens may have.
    pub scopes: Vec<String>,
    /// Whom its tokens may be for.
    pub audiences: Vec<String>,
    /// Lifetime of its tokens, in seconds; `None`: the default.
    pub lifetime: Option<u64>,
    /// Its certificate, where its tokens are good only together with it.
    pub certificate: Option<Arc<CertificateName>>,
    /// Binds its tokens to the certificate with which it asks for them (RFC 8705).
    pub certificate_bound: bool,
    /// The certificate, signed by a CA, that authenticates it (`tls_client_auth`).
    pub tls_client_auth: Option<CertificateName>,
    /// The certificates that prove it, whoever has signed them.
    pub certificates: Vec<Thumbprint>,
    /// Which tokens it may ask about.
    pub introspect: TokenReach,
    /// Which tokens it may revoke.
    pub revoke: TokenReach,
}

impl Client {
    /// Returns whether this certificate authenticates the client (RFC 8705 section 2).
    pub fn is_proved_by(&self, certificate: &Certificate) -> bool {
        self.tls_client_auth.as_ref().is_some_and(|name| name.fits(certificate))
            || self.certificates.contains(&certificate.thumbprint)
    }
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
