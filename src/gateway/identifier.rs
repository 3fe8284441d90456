//! The customer's identifier in a request: one that the caller names must be its own, and the one that the backend
//! knows is written where the route wants it.

mod parameter;

use http::header::{self, HeaderValue};
use percent_encoding::percent_decode_str;

use super::error::{Detail, Refused};
use super::observe::record::Record;
use super::request::call::{Call, Upload};
use super::{body_headers, enforcement};
use crate::auth::Caller;
use crate::customer::Identifier;
use crate::explanation::trace::{StepDetail, pointer_step};
use crate::json_body::{self, Pointer};
use crate::policy::path_placement::{PathFault, PathPlacement};
use crate::policy::route::{Placement, Route};
use crate::refusal::Refusal;
pub(super) use parameter::reads_body;

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
    Named::of(route, caller, call, record)?.admits(claimed(), record)
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
        Placement::Body(pointer) => into_json(pointer, &named, call, record)?,
        Placement::Form(name) => parameter::into_form(name, &named, call, record)?,
        Placement::Query(parameter) => parameter::into_query(parameter, &named, call, record)?,
        Placement::Path(path) => into_path(path, &named, call, record)?,
    }
    Ok(named.value)
}

/// Writes the identifier into a member of the JSON body, whatever it was before.
fn into_json(pointer: &Pointer, named: &Named<'_>, call: &mut Call<'_>, record: &mut Record) -> Result<(), Refused> {
    let bytes = call.body.bytes().cloned().ok_or(Refusal::Internal)?;
    if !bytes.is_empty() {
        is_plain(call, is_json, "application/json")?;
    }
    let document = json_body::Document::parse(&bytes, pointer).map_err(|_| Refusal::Json)?;
    let claimed = document.value();
    named.admits(claimed.as_deref().map(str::as_bytes).into_iter(), record)?;
    // Where nobody is proved, as can be in mode observe, nobody may be named either.
    if named.value.is_none() && claimed.is_none() {
        return Ok(());
    }
    if bytes.is_empty() {
        call.parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    call.body = Upload::Read(document.with(named.value.as_deref().unwrap_or_default()).into());
    body_headers::remove(&mut call.parts.headers);
    Ok(())
}

/// Writes the path of the backend, with the identifier in place of the caller's.
fn into_path(
    placement: &PathPlacement,
    named: &Named<'_>,
    call: &mut Call<'_>,
    record: &mut Record,
) -> Result<(), Refused> {
    let (claimed, rest) = placement.parts(call.parts.uri.path()).ok_or(Refusal::NoRoute)?;
    let claimed: Option<Vec<u8>> = claimed.map(|claimed| percent_decode_str(claimed).collect());
    named.admits(claimed.as_deref().into_iter(), record)?;
    // The checks of the configuration let no route observe whose path needs a customer.
    let customer = named.value.as_deref().ok_or(Refusal::Internal)?;
    let path = placement.path_for(customer, rest, named.route.allowed_in_path).map_err(|fault| match fault {
        PathFault::Rest => Refusal::AmbiguousPath,
        PathFault::Customer => {
            tracing::error!("a customer's subject cannot stand in a path: see routes[].identifier");
            Refusal::Internal
        }
    })?;
    let query = call.parts.uri.query().map(str::to_owned);
    call.set_target(path, query.as_deref())?;
    Ok(())
}

/// The identifier by which the backend knows the customer.
struct Named<'a> {
    route: &'a Route,
    caller: &'a Caller,
    value: Option<String>,
    /// The same under the previous key, while that is still told.
    previous: Option<Identifier>,
}

impl<'a> Named<'a> {
    fn of(route: &'a Route, caller: &'a Caller, call: &Call<'_>, record: &Record) -> Result<Self, Refusal> {
        let nobody = Self { route, caller, value: None, previous: None };
        let Some(customer) = &caller.customer else { return Ok(nobody) };
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        if route.send_subject {
            let origin = deriver.trace(customer.as_str()).map_err(|_| Refusal::Internal)?;
            return Ok(Self { value: Some(origin.subject), ..nobody });
        }
        let Some(pairwise) = &route.pairwise else {
            let (value, previous) = (Some(customer.as_str().to_owned()), caller.previous.clone());
            return Ok(Self { value, previous, ..nobody });
        };
        let own = pairwise.for_backend(deriver, customer).map_err(|_| Refusal::Internal)?;
        let previous = pairwise.previous_of(&own, super::unix_seconds(record.time));
        Ok(Self { value: Some(own.as_str().to_owned()), previous, ..nobody })
    }

    /// Checks that a caller names no other customer than its own.
    fn admits<'c>(&self, mut claimed: impl Iterator<Item = &'c [u8]>, record: &mut Record) -> Result<(), Refusal> {
        let is_own = claimed.all(|claimed| self.may_be_called(claimed));
        record.steps().note("named_customer", is_own, || {
            let place = match &self.route.placement {
                Some(Placement::Header(name)) => format!("header {name}"),
                Some(Placement::Body(pointer)) => format!("body, at {}", pointer.written()),
                Some(Placement::Form(name)) => format!("form parameter {}", name.as_str()),
                Some(Placement::Query(parameter)) => format!("query parameter {}", parameter.name.as_str()),
                Some(Placement::Path(_)) => "path".to_owned(),
                None => "request".to_owned(),
            };
            let saw = if is_own { "it does".to_owned() } else { format!("another is named in the {place}") };
            let key = format!("/routes/{}/identifier", pointer_step(&self.route.name));
            StepDetail::new("a request that names no customer but its own", saw).at(key)
        });
        if is_own {
            return Ok(());
        }
        enforcement::carry_out(Refusal::IdentifierMismatch, self.route, record)
    }

    /// True if a caller may name its customer so: as the backend does, or by the identifier in the token; each may be
    /// the one under the previous key.
    fn may_be_called(&self, claimed: &[u8]) -> bool {
        let identifiers = [&self.caller.customer, &self.caller.previous, &self.previous];
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

fn is_json(kind: &str) -> bool {
    kind == "application/json" || kind.ends_with("+json")
}

/// Checks that a body to write into is of this type, in UTF-8, and not encoded.
fn is_plain(call: &Call<'_>, fits: fn(&str) -> bool, accepted: &str) -> Result<(), Refused> {
    let encoded = call
        .parts
        .headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let fits = call.type_to_read()?.is_some_and(|kind| fits(&kind));
    match (encoded, fits) {
        (true, _) => Err(Refused::with(Detail::Coding, Refusal::ContentType)),
        (false, false) => Err(Refused::of_types(&[accepted])),
        (false, true) => Ok(()),
    }
}
