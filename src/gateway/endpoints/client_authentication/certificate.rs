//! `tls_client_auth` and `self_signed_tls_client_auth`: the certificate of the connection proves the client (RFC 8705
//! section 2).

use super::super::form::Form;
use super::client_id;
use crate::auth::Client;
use crate::auth::tls::certificate::Certificate;
use crate::gateway::error::Refused;
use crate::refusal::Refusal;

/// A client id, and a certificate whose key the caller holds.
pub(super) struct ByCertificate<'f> {
    /// The value of `client_id`.
    pub(super) id: &'f str,
    certificate: &'f Certificate,
}

impl<'f> ByCertificate<'f> {
    /// Reads the id of a caller that presents a certificate and no other credentials.
    ///
    /// # Errors
    /// `client_id` is missing or repeated.
    pub(super) fn from_form(certificate: &'f Certificate, query: &'f Form, form: &'f Form) -> Result<Self, Refused> {
        Ok(Self { id: client_id(query, form)?, certificate })
    }

    /// Verifies the certificate as the client's.
    ///
    /// # Errors
    /// The client is unknown, or the certificate is another one.
    pub(super) fn prove(&self, client: Option<&Client>) -> Result<(), Refusal> {
        let client = client.ok_or(Refusal::UnknownClient)?;
        if client.is_proved_by(self.certificate) { Ok(()) } else { Err(Refusal::OtherCertificate) }
    }
}
