//! The customer's identifier in a request: one that the caller names must be its own, and the one that the backend
//! knows is written where the route wants it.

use bytes::Bytes;
use http::header::{self, HeaderValue};

use super::body_headers;
use super::error::{Detail, Refused};
use super::observe::record::Record;
use super::request::call::{Call, Upload};
use crate::auth::Caller;
use crate::customer::Identifier;
use crate::json_body;
use crate::policy::route::{Placement, Route};
use crate::refusal::Refusal;

/// Checks that a customer named in the configured header is the one of the token (docs/asapp.md, requirement 22).
pub(super) fn matches_named_customer(
    route: &Route,
    caller: &Caller,
    call: &Call<'_>,
    record: &mut Record,
) -> Result<(), Refusal> {
    let Some(Placement::Header(name)) = &route.placement else { return Ok(()) };
    let claimed = || call.parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    // Mostly nobody is named.
    if claimed().next().is_none() {
        return Ok(());
    }
    let named = Named::of(route, caller, call, record)?;
    if claimed().all(|claimed| named.may_be_called(caller, claimed)) { Ok(()) } else { mismatch(route, record) }
}

/// Writes the identifier where the route wants it. Returns the written value.
pub(super) fn place(
    route: &Route,
    caller: &Caller,
    call: &mut Call<'_>,
    record: &mut Record,
) -> Result<Option<String>, Refused> {
    let Some(placement) = &route.placement else { return Ok(None) };
    let named = Named::of(route, caller, call, record)?;
    let value = named.value.as_deref();
    if let Some(previous) = &named.previous {
        let value = HeaderValue::from_str(previous.as_str()).map_err(|_| Refusal::Internal)?;
        call.parts.headers.insert(route.previous_header.clone(), value);
    }
    match placement {
        Placement::Header(name) => {
            if let Some(value) = value {
                call.parts.headers.insert(name, field_value(value)?);
            }
        }
        Placement::Body(pointer) => {
            let bytes = call.body.bytes().cloned().ok_or(Refusal::Internal)?;
            is_plain_json(call, &bytes)?;
            let document = json_body::Document::parse(&bytes, pointer).map_err(|_| Refusal::Json)?;
            let claimed = document.value();
            if claimed.as_deref().is_some_and(|claimed| !named.may_be_called(caller, claimed.as_bytes())) {
                mismatch(route, record)?;
            }
            // Where nobody is proved, as can be in mode observe, nobody may be named either.
            if value.is_none() && claimed.is_none() {
                return Ok(None);
            }
            if bytes.is_empty() {
                call.parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            call.body = Upload::Read(document.with(value.unwrap_or_default()).into());
            body_headers::remove(&mut call.parts.headers);
        }
    }
    Ok(named.value)
}

/// The identifier by which the backend knows the customer.
struct Named {
    value: Option<String>,
    /// The same under the previous key, while that is still told.
    previous: Option<Identifier>,
}

impl Named {
    fn of(route: &Route, caller: &Caller, call: &Call<'_>, record: &Record) -> Result<Self, Refusal> {
        let Some(customer) = &caller.customer else { return Ok(Self { value: None, previous: None }) };
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        if route.send_subject {
            let origin = deriver.trace(customer.as_str()).map_err(|_| Refusal::Internal)?;
            return Ok(Self { value: Some(origin.subject), previous: None });
        }
        let Some(pairwise) = &route.pairwise else {
            return Ok(Self { value: Some(customer.as_str().to_owned()), previous: caller.previous.clone() });
        };
        let own = pairwise.for_backend(deriver, customer).map_err(|_| Refusal::Internal)?;
        let previous = pairwise.previous_of(&own, super::unix_seconds(record.time));
        Ok(Self { value: Some(own.as_str().to_owned()), previous })
    }

    /// True if a caller may name its customer so: as the backend does, or by the identifier in the token; each may be
    /// the one under the previous key.
    fn may_be_called(&self, caller: &Caller, claimed: &[u8]) -> bool {
        let identifiers = [&caller.customer, &caller.previous, &self.previous];
        let identifiers = identifiers.into_iter().flatten().map(Identifier::as_str);
        identifiers.chain(self.value.as_deref()).any(|name| name.as_bytes() == claimed)
    }
}

/// A name of a customer as a field value. A subject with blanks at its ends is refused: they are no part of the value
/// there (RFC 9110 section 5.5), so it would become another customer's name.
fn field_value(name: &str) -> Result<HeaderValue, Refusal> {
    let value = HeaderValue::from_str(name).ok().filter(|_| name.trim_matches([' ', '\t']) == name);
    value.ok_or_else(|| {
        tracing::error!("a customer's subject cannot stand in a header: see routes[].identifier");
        Refusal::Internal
    })
}

fn mismatch(route: &Route, record: &mut Record) -> Result<(), Refusal> {
    if route.enforce {
        return Err(Refusal::IdentifierMismatch);
    }
    record.observed.get_or_insert(Refusal::IdentifierMismatch);
    Ok(())
}

/// Checks that a body to write into is JSON in UTF-8, and not encoded.
fn is_plain_json(call: &Call<'_>, bytes: &Bytes) -> Result<(), Refused> {
    if bytes.is_empty() {
        return Ok(());
    }
    let encoded = call
        .parts
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let is_json = call.type_to_read()?.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"));
    match (encoded, is_json) {
        (true, _) => Err(Refused::with(Detail::Coding, Refusal::ContentType)),
        (false, false) => Err(Refused::of_types(&["application/json"])),
        (false, true) => Ok(()),
    }
}
