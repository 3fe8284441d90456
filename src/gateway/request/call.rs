//! A request that has been read strictly, with the policy and the connection that decide about it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri, header, request};
use http_body::Body as _;

use super::content_type::ContentType;
use super::head::Head;
use crate::auth::tls::certificate::{Certificate, CertificateFault};
use crate::body_stream::{ArrivingBody, BodyFault, BodyLimits, CallerBody, FileBody, Pace, RequestBody};
use crate::fields::FieldSet;
use crate::gateway::connection::Connection;
use crate::gateway::connection::client_address::ClientAddress;
use crate::gateway::connection::framing::BodyFraming;
use crate::gateway::error::{Detail, Refused};
use crate::gateway::observe::record::Record;
use crate::policy::path::{Ambiguous, NonCanonical};
use crate::policy::rewrite::Rewrite;
use crate::policy::route::Route;
use crate::policy::{Issuer, Policy};
use crate::refusal::Refusal;

/// A request on its way through the gateway.
pub(crate) struct Call<'a> {
    /// The policy for all its steps.
    pub(crate) policy: &'a Arc<Policy>,
    /// The generation of the policy and of its issuers' keys.
    pub(crate) generation: u64,
    /// Its connection.
    pub(crate) connection: &'a Connection,
    /// Its source.
    pub(crate) source: Rc<ClientAddress>,
    /// Host, framing and path, in normal form.
    pub(crate) head: Head,
    /// Its head, which becomes that of the request to the backend.
    pub(crate) parts: request::Parts,
    /// Its body.
    pub(crate) body: Upload,
    /// True if it asks for another protocol.
    pub(crate) asks_upgrade: bool,
    /// True if another proxy asks about it: the connection and its certificate are that proxy's.
    pub(crate) is_asked_about: bool,
}

/// A request body.
pub(crate) enum Upload {
    /// Still arriving.
    Coming(ArrivingBody),
    /// Buffered.
    Read(Bytes),
    /// Buffered in a temporary file.
    Filed(Box<FileBody>),
}

impl Upload {
    /// The bytes of a buffered body.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Coming(_) | Self::Filed(_) => None,
            Self::Read(bytes) => Some(bytes),
        }
    }
}

impl Call<'_> {
    /// The client certificate, where the caller has shown one here. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The reason for which a handshake would no longer accept it.
    pub(crate) fn certificate(&self, now: u64) -> Result<Option<&Certificate>, CertificateFault> {
        if self.is_asked_about { Ok(None) } else { self.connection.certificate(now) }
    }

    /// The audience of tokens issued on this listener.
    pub(crate) fn audience(&self, issuer: &Issuer) -> Arc<str> {
        self.audience_apart().unwrap_or_else(|| issuer.audience.as_str().into())
    }

    /// The listener's own audience, where it has one.
    pub(crate) fn audience_apart(&self) -> Option<Arc<str>> {
        self.connection.settings().audience.clone()
    }

    /// Checks an announced body length against the limit, in bytes. A body without one is counted as it comes.
    pub(crate) fn is_within(&self, limit: u64) -> Result<(), Refused> {
        if self.head.body_length().is_some_and(|length| length > limit) {
            return Err(Refused::of_limit(limit));
        }
        Ok(())
    }

    /// Checks the body's type against those of the route. No body needs no type.
    pub(crate) fn has_type_for(&self, route: &Route) -> Result<(), Refused> {
        if route.content_types.is_empty() || self.head.body_length() == Some(0) {
            return Ok(());
        }
        match self.content_type()? {
            Some(found) if route.content_types.contains(&found.kind) => Ok(()),
            _ => Err(Refused::of_types(&route.content_types)),
        }
    }

    /// The content type of the body.
    ///
    /// # Errors
    /// See [`ContentType::of`].
    pub(crate) fn content_type(&self) -> Result<Option<ContentType>, Refusal> {
        ContentType::of(&self.parts.headers)
    }

    /// The media type of a body that is read here, in lower case.
    ///
    /// # Errors
    /// [`Refusal::ContentType`] where it is not in UTF-8; see [`ContentType::of`].
    pub(crate) fn type_to_read(&self) -> Result<Option<String>, Refused> {
        let found = self.content_type()?.map(ContentType::in_utf8).transpose();
        let found = found.map_err(|refusal| Refused::with(Detail::Charset, refusal))?;
        Ok(found.map(|found| found.kind))
    }

    /// Decrements `Max-Forwards` of an OPTIONS (RFC 9110 section 7.6.2); true where this is the last hop.
    pub(crate) fn goes_no_further(&mut self) -> bool {
        let Some(hops) = self.parts.headers.get_mut(header::MAX_FORWARDS) else { return false };
        let Some(left) = hops.to_str().ok().and_then(|hops| hops.parse::<u64>().ok()) else { return false };
        if left > 0 {
            *hops = HeaderValue::from(left - 1);
        }
        left == 0
    }

    /// Rewrites the path for the backend.
    pub(crate) fn rewrite(&mut self, rewrite: &Rewrite, allowed: NonCanonical) -> Result<(), Refusal> {
        let path = rewrite.apply(self.parts.uri.path(), allowed).map_err(|Ambiguous| Refusal::AmbiguousPath)?;
        let query = self.parts.uri.query().map(str::to_owned);
        self.set_target(path, query.as_deref())
    }

    /// Sets the target for the backend.
    pub(crate) fn set_target(&mut self, path: String, query: Option<&str>) -> Result<(), Refusal> {
        let text = match query {
            Some(query) => [&path, "?", query].concat(),
            None => path,
        };
        self.parts.uri = Uri::from(PathAndQuery::try_from(text).map_err(|_| Refusal::AmbiguousPath)?);
        Ok(())
    }

    /// Buffers the whole body, of at most `limit` bytes.
    pub(crate) async fn read_body(&mut self, limit: u64, record: &Record) -> Result<Bytes, Refused> {
        self.is_within(limit)?;
        let coming = match std::mem::replace(&mut self.body, Upload::Read(Bytes::new())) {
            Upload::Coming(body) => {
                let body = limited(&self.policy.stripped, self.connection, body, limit, record);
                body.collect().await.map_err(|fault| refused(fault, Some(limit)))?
            }
            Upload::Read(bytes) => bytes,
            // Only what is about to be sent is in a file.
            Upload::Filed(_) => return Err(Refusal::Internal.into()),
        };
        self.has_read(coming.len() as u64);
        self.body = Upload::Read(coming.clone());
        Ok(coming)
    }

    /// Notes the length of a body that has come as a whole, and its trailers are no more.
    pub(super) fn has_read(&mut self, length: u64) {
        self.head.body = BodyFraming::Length(length);
    }

    /// The request to the backend.
    pub(crate) fn into_request(self: Box<Self>, route: &Route, limit: u64, record: &Record) -> Request<RequestBody> {
        let body = match self.body {
            Upload::Read(bytes) if bytes.is_empty() => RequestBody::Empty,
            Upload::Read(bytes) => RequestBody::Full(bytes),
            Upload::Filed(body) => RequestBody::File(body),
            Upload::Coming(body) if body.is_end_stream() => RequestBody::Empty,
            Upload::Coming(body) => {
                RequestBody::Caller(Box::new(limited(&route.stripped, self.connection, body, limit, record)))
            }
        };
        Request::from_parts(self.parts, body)
    }
}

/// A body under a limit of bytes and the pace of its listener; its progress goes to the record.
pub(super) fn limited(
    stripped: &Arc<FieldSet>,
    connection: &Connection,
    body: ArrivingBody,
    limit: u64,
    record: &Record,
) -> CallerBody {
    let pace = Pace { pause: connection.limits.body_idle_timeout, until: record.until };
    let (progress, is_malformed) = (Rc::clone(&record.progress), Rc::clone(&connection.is_malformed));
    CallerBody::new(body, BodyLimits { bytes: limit, pace, stripped: Arc::clone(stripped) }, progress, is_malformed)
}

/// The refusal for a faulty body, with its limit in bytes where that is known.
pub(crate) fn refused(fault: BodyFault, limit: Option<u64>) -> Refused {
    match (fault, limit) {
        (BodyFault::Malformed, _) => Refusal::MalformedBody.into(),
        (BodyFault::TooLarge, Some(limit)) => Refused::of_limit(limit),
        (BodyFault::TooLarge, None) => Refusal::BodyTooLarge.into(),
        (BodyFault::TimedOut, _) => Refusal::BodyTimeout.into(),
        (BodyFault::Buffer, _) => Refusal::RequestBuffer.into(),
    }
}
