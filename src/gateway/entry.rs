//! The checks of a listener, before a request is read any further: address, https, client certificate.

use std::rc::Rc;

use http::Request;

use super::connection::Connection;
use super::error::Refused;
use super::observe::record::Record;
use super::{Answer, Current, Gateway, redirect, unix_seconds};
use crate::body_stream::ArrivingBody;
use crate::explanation::trace::StepDetail;
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
        let place = |key: &str| format!("/listen/{}/{key}", connection.settings().number);
        record.steps().note("client_address", source.allowed, || {
            StepDetail::new("an address that the listener takes", source.address_text()).at(place("allow"))
        });
        if !source.allowed {
            return Err(Refusal::AddressNotAllowed.into());
        }
        if let Some(base) = connection.settings().redirect() {
            return Ok(Some(redirect::to_https(base, request, &current.policy.credentials)?));
        }
        let is_secure = connection.settings().networks.is_secure_enough(&source);
        record.steps().note("https", is_secure, || {
            let saw = if source.secure { "https" } else { "http" };
            let wanted = if is_secure && !source.secure { "https, or plain http where that may be" } else { "https" };
            StepDetail::new(wanted, saw).at(place("require_https"))
        });
        if !is_secure {
            return Err(Refusal::PlainHttp.into());
        }
        let certificate = connection.certificate(unix_seconds(record.time));
        if connection.shown().is_some() {
            record.steps().note("client_certificate", certificate.is_ok(), || {
                let saw = match &certificate {
                    Ok(Some(_)) => "one that is valid",
                    Ok(None) => "none",
                    Err(fault) => fault.as_str(),
                };
                StepDetail::new("a client certificate that is valid, or none", saw).at(place("tls"))
            });
        }
        if let Err(fault) = certificate {
            self.worker_metrics().client_certificate_refused(fault.as_str());
            return Err(Refusal::ClientCertificate.into());
        }
        Ok(None)
    }
}
