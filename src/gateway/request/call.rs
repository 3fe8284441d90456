//! A request that has been read strictly, with all that decides about it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri, header, request};
use http_body::Body as _;

use super::content_type::ContentType;
use super::head::Head;
use crate::auth::tls::certificate::{Certificate, CertificateFault};
use crate::body_stream::{ArrivingBody, BodyFault, BodyLimits, CallerBody, Pace, RequestBody};
use crate::fields::FieldSet;
use crate::gateway::connection::Connection;
use crate::gateway::connection::client_address::Source;
use crate::gateway::error::{Detail, Refused};
use crate::gateway::forward::headers::{self, Passage};
use crate::gateway::observe::record::Record;
use crate::policy::path::{Ambiguous, Odd};
use crate::policy::rewrite::Rewrite;
use crate::policy::route::Route;
use crate::policy::{Issuer, Policy};
use crate::refusal::Refusal;

/// A request on its way.
pub(crate) struct Call<'a> {
    /// What decides about it, from its first to its last step.
    pub(crate) policy: &'a Arc<Policy>,
    /// What it came on.
    pub(crate) connection: &'a Connection,
    /// Where it comes from.
    pub(crate) source: Rc<Source>,
    /// What it asks for.
    pub(crate) head: Head,
    /// Its head as the backend will get it.
    pub(crate) parts: request::Parts,
    /// Its body.
    pub(crate) body: Upload,
    /// Whether another proxy asks about it: what the connection shows is that proxy's.
    pub(crate) is_asked_about: bool,
}

/// A caller's body on its way.
pub(crate) enum Upload {
    /// As it comes.
    Coming(ArrivingBody),
    /// At hand.
    Read(Bytes),
}

impl Upload {
    /// The bytes, where they are at hand.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Coming(_) => None,
            Self::Read(bytes) => Some(bytes),
        }
    }
}

impl Call<'_> {
    /// The caller's certificate, where it has shown one here. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why a handshake would not accept it any more.
    pub(crate) fn certificate(&self, now: u64) -> Result<Option<&Certificate>, CertificateFault> {
        if self.is_asked_about { Ok(None) } else { self.connection.certificate(now) }
    }

    /// Whom what is issued here is for.
    pub(crate) fn audience(&self, issuer: &Issuer) -> Arc<str> {
        self.audience_apart().unwrap_or_else(|| issuer.audience.as_str().into())
    }

    /// The same, where that is an audience set apart.
    pub(crate) fn audience_apart(&self) -> Option<Arc<str>> {
        self.connection.entrance().audience.clone()
    }

    /// Whether the announced body is within the limit. One that is not announced is counted as it comes.
    pub(crate) fn is_within(&self, limit: u64) -> Result<(), Refused> {
        if self.head.body_length().is_some_and(|length| length > limit) {
            return Err(Refused::of_limit(limit));
        }
        Ok(())
    }

    /// Whether the body is of a type that the route takes. No body needs no type.
    pub(crate) fn has_type_for(&self, route: &Route) -> Result<(), Refused> {
        if route.content_types.is_empty() || self.head.body_length() == Some(0) {
            return Ok(());
        }
        match self.content_type()? {
            Some(found) if route.content_types.contains(&found.kind) => Ok(()),
            _ => Err(Refused::of_types(&route.content_types)),
        }
    }

    /// What its body is said to be.
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

    /// Counts the hops that an OPTIONS may still go (RFC 9110 section 7.6.2); true where this is the last.
    pub(crate) fn goes_no_further(&mut self) -> bool {
        let Some(hops) = self.parts.headers.get_mut(header::MAX_FORWARDS) else { return false };
        let Some(left) = hops.to_str().ok().and_then(|hops| hops.parse::<u64>().ok()) else { return false };
        if left > 0 {
            *hops = HeaderValue::from(left - 1);
        }
        left == 0
    }

    /// Changes the path for the backend.
    pub(crate) fn rewrite(&mut self, rewrite: &Rewrite, allowed: Odd) -> Result<(), Refusal> {
        let uri = &mut self.parts.uri;
        let path = rewrite.apply(uri.path(), allowed).map_err(|Ambiguous| Refusal::AmbiguousPath)?;
        let text = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        *uri = Uri::from(PathAndQuery::try_from(text).map_err(|_| Refusal::AmbiguousPath)?);
        Ok(())
    }

    /// Turns the caller's head into that of the request to the backend.
    pub(crate) fn prepare(&mut self, route: &Route, record: &Record) {
        let passage = Passage {
            route,
            host: &self.head.host,
            forwarded_for: &self.source.forwarded_for,
            secure: self.source.secure,
            version: self.parts.version,
            is_chunked: self.head.body_length().is_none(),
            request_id: &record.request_id,
        };
        headers::prepare_request(&mut self.parts.headers, &passage);
        if let Some(handshake) = &record.handshake {
            handshake.ask(&mut self.parts.headers);
        }
    }

    /// The whole body; from now on it is at hand.
    pub(crate) async fn read_body(&mut self, limit: u64, record: &Record) -> Result<Bytes, Refused> {
        self.is_within(limit)?;
        let coming = match std::mem::replace(&mut self.body, Upload::Read(Bytes::new())) {
            Upload::Coming(body) => {
                let body = limited(&self.policy.stripped, self.connection, body, limit, record);
                body.collect().await.map_err(|fault| refused(fault, Some(limit)))?
            }
            Upload::Read(bytes) => bytes,
        };
        self.body = Upload::Read(coming.clone());
        Ok(coming)
    }

    /// The request as the backend gets it.
    pub(crate) fn into_request(self: Box<Self>, route: &Route, limit: u64, record: &Record) -> Request<RequestBody> {
        let body = match self.body {
            Upload::Read(bytes) if bytes.is_empty() => RequestBody::Empty,
            Upload::Read(bytes) => RequestBody::Full(bytes),
            Upload::Coming(body) if body.is_end_stream() => RequestBody::Empty,
            Upload::Coming(body) => {
                RequestBody::Caller(Box::new(limited(&route.stripped, self.connection, body, limit, record)))
            }
        };
        Request::from_parts(self.parts, body)
    }
}

fn limited(
    stripped: &Arc<FieldSet>,
    connection: &Connection,
    body: ArrivingBody,
    limit: u64,
    record: &Record,
) -> CallerBody {
    let pace = Pace { pause: connection.limits.body_idle_timeout, until: record.until };
    let (progress, is_odd) = (Rc::clone(&record.progress), Rc::clone(&connection.is_odd));
    CallerBody::new(body, BodyLimits { bytes: limit, pace, stripped: Arc::clone(stripped) }, progress, is_odd)
}

/// The refusal for a body that broke off, with its limit in bytes where that is known.
pub(crate) fn refused(fault: BodyFault, limit: Option<u64>) -> Refused {
    match (fault, limit) {
        (BodyFault::Malformed, _) => Refusal::MalformedBody.into(),
        (BodyFault::TooLarge, Some(limit)) => Refused::of_limit(limit),
        (BodyFault::TooLarge, None) => Refusal::BodyTooLarge.into(),
        (BodyFault::TimedOut, _) => Refusal::BodyTimeout.into(),
    }
}
