//! `tls_client_auth` and `self_signed_tls_client_auth`: the certificate of the connection proves the client (RFC 8705
//! section 2).

use super::super::form::Form;
use super::client_id;
use crate::auth::Client;
use crate::auth::tls::certificate::Certificate;
use crate::gateway::error::Refused;
use crate::refusal::Refusal;

/// An id, and a certificate whose key the caller has.
pub(super) struct ByCertificate<'f> {
    /// What `client_id` says.
    pub(super) id: &'f str,
    certificate: &'f Certificate,
}

impl<'f> ByCertificate<'f> {
    /// What stands in the form of a caller that shows a certificate and nothing else.
    ///
    /// # Errors
    /// There is no id.
    pub(super) fn from_form(certificate: &'f Certificate, query: &'f Form, form: &'f Form) -> Result<Self, Refused> {
        Ok(Self { id: client_id(query, form)?, certificate })
    }

    /// Whether this proves the client.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn prove(&self, client: Option<&Client>) -> Result<(), Refusal> {
        let client = client.ok_or(Refusal::UnknownClient)?;
        if client.is_proved_by(self.certificate) { Ok(()) } else { Err(Refusal::OtherCertificate) }
    }
}
