//! The checks of a listener, before a request is read any further: address, https, client certificate.

use std::rc::Rc;

use http::Request;

use super::connection::Connection;
use super::error::Refused;
use super::observe::record::Record;
use super::{Answer, Current, Gateway, redirect, unix_seconds};
use crate::body_stream::ArrivingBody;
use crate::refusal::Refusal;

impl Gateway {
    /// Checks that the caller may come in by this listener; returns a redirect on a listener that only redirects.
    pub(super) fn enter(
        &self,
        current: &Current,
        connection: &Connection,
        request: &Request<ArrivingBody>,
        record: &mut Record,
    ) -> Result<Option<Answer>, Refused> {
        let source = connection.source_of(request.headers())?;
        record.source = Rc::clone(&source);
        if !source.allowed {
            return Err(Refusal::AddressNotAllowed.into());
        }
        if let Some(base) = connection.settings().redirect() {
            return Ok(Some(redirect::to_https(base, request, &current.policy.credentials)?));
        }
        if !connection.settings().networks.is_secure_enough(&source) {
            return Err(Refusal::PlainHttp.into());
        }
        if let Err(fault) = connection.certificate(unix_seconds(record.time)) {
            self.worker_metrics().client_certificate_refused(fault.as_str());
            return Err(Refusal::ClientCertificate.into());
        }
        Ok(None)
    }
}
