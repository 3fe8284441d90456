//! The identifier as a parameter: of a form, or of the query. Many frameworks merge both, and cookies too (PHP's
//! `$_REQUEST`, Java's `getParameter`, Rails' `params`): so the caller's may stand nowhere else.

use http::header::{self, HeaderValue};

use super::{Named, is_plain};
use crate::fields;
use crate::gateway::body_headers;
use crate::gateway::error::{Detail, Refused};
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::{Call, Upload};
use crate::gateway::request::content_type::ContentType;
use crate::json_body::{Document, JsonFault};
use crate::parameters::{OtherSpelling, ParameterName, encoded, form_encoded};
use crate::policy::route::{Placement, QueryParameter, Route};
use crate::refusal::Refusal;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Returns whether the body must be read because a framework could merge it with the query.
///
/// # Errors
/// [`Refusal::ContentType`] for bodies that are merged, and cannot be read here.
pub(in crate::gateway) fn reads_body(route: &Route, call: &Call<'_>) -> Result<bool, Refused> {
    if !matches!(route.placement, Some(Placement::Query(_))) || call.head.body_length() == Some(0) {
        return Ok(false);
    }
    match call.content_type()? {
        // Rack takes it for a form.
        None => Ok(true),
        Some(found) if found.kind.starts_with("multipart/") => Err(Refused::of_types(&[FORM, JSON])),
        Some(found) => Ok(is_form(&found.kind) || may_be_json(&found.kind)),
    }
}

/// Writes the identifier into a form, in place of the caller's.
pub(super) fn into_form(
    name: &ParameterName,
    named: &Named<'_>,
    call: &mut Call<'_>,
    record: &mut Record,
) -> Result<(), Refused> {
    if call.parts.uri.query().is_some_and(|query| name.is_in(query.as_bytes())) {
        return Err(Refusal::ParameterRepeated.into());
    }
    let bytes = call.body.bytes().cloned().ok_or(Refusal::Internal)?;
    if !bytes.is_empty() {
        is_plain(call, is_form, FORM)?;
    }
    let taken = name.taken_from(&bytes).map_err(|OtherSpelling| Refusal::ParameterRepeated)?;
    named.admits(taken.values.iter().map(Vec::as_slice), record)?;
    fields::remove_cookies(&mut call.parts.headers, |pair| name.is_cookie(pair));
    if named.value.is_none() && taken.values.is_empty() {
        return Ok(());
    }
    if bytes.is_empty() {
        call.parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    }
    let value = named.value.as_deref().map(form_encoded);
    call.body = Upload::Read(taken.with(name, value.as_deref()).into());
    body_headers::remove(&mut call.parts.headers);
    Ok(())
}

/// Writes the identifier into the query, in place of the caller's.
pub(super) fn into_query(
    parameter: &QueryParameter,
    named: &Named<'_>,
    call: &mut Call<'_>,
    record: &mut Record,
) -> Result<(), Refused> {
    // Tomcat's useBodyEncodingForURI reads the query in the charset of the body.
    if call.content_type()?.is_some_and(|found| !found.keeps_ascii()) {
        return Err(Refused::with(Detail::Charset, Refusal::ContentType));
    }
    is_absent_from_body(parameter, call)?;
    let QueryParameter { name, .. } = parameter;
    let query = call.parts.uri.query().unwrap_or_default();
    let taken = name.taken_from(query.as_bytes()).map_err(|OtherSpelling| Refusal::ParameterRepeated)?;
    named.admits(taken.values.iter().map(Vec::as_slice), record)?;
    let value = named.value.as_deref().map(encoded);
    let query = String::from_utf8(taken.with(name, value.as_deref())).map_err(|_| Refusal::Internal)?;
    fields::remove_cookies(&mut call.parts.headers, |pair| name.is_cookie(pair));
    let path = call.parts.uri.path().to_owned();
    call.set_target(path, Some(&query).filter(|query| !query.is_empty()).map(String::as_str))?;
    Ok(())
}

/// Checks that the body has no value of the parameter, where a framework would merge it.
fn is_absent_from_body(parameter: &QueryParameter, call: &Call<'_>) -> Result<(), Refused> {
    let Some(bytes) = call.body.bytes().filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
    let is_there = match call.content_type()?.map(|ContentType { kind, .. }| kind) {
        None => return Err(Refused::of_types(&[FORM, JSON])),
        Some(kind) if is_form(&kind) => {
            is_plain(call, is_form, FORM)?;
            parameter.name.is_in(bytes)
        }
        Some(kind) if may_be_json(&kind) => {
            is_plain(call, may_be_json, JSON)?;
            match Document::parse(bytes, &parameter.member).map(|document| document.value().is_some()) {
                Ok(is_there) => is_there,
                // A list has no members.
                Err(JsonFault::NotObject) => false,
                Err(JsonFault::OtherSpelling) => true,
                Err(_) => return Err(Refusal::Json.into()),
            }
        }
        Some(_) => false,
    };
    if is_there { Err(Refusal::ParameterRepeated.into()) } else { Ok(()) }
}

fn is_form(kind: &str) -> bool {
    kind == FORM
}

/// `text/json`, `text/x-json` and `application/jsonrequest` are JSON to some (Rails).
fn may_be_json(kind: &str) -> bool {
    kind.contains("json")
}
