//! Requests held against the company's description of a route (`routes[].validate: request`), as callers sent them.

use http::header;

use super::call::Call;
use crate::gateway::enforcement;
use crate::gateway::error::{Detail, Refused};
use crate::gateway::observe::record::Record;
use crate::policy::api_description::{DescribedOperation, DescribedRequest, UndescribedRequest};
use crate::policy::route::{Route, RouteDescription};
use crate::refusal::Refusal;

/// Holds a request, whose body has been read, against its description.
///
/// # Errors
/// [`Refusal::Schema`], [`Refusal::Json`] or [`Refusal::ContentType`], on a route that does not merely observe.
pub(crate) fn fits_description(
    description: &RouteDescription,
    route: &Route,
    call: &Call<'_>,
    record: &mut Record,
) -> Result<(), Refused> {
    match checked(description, call) {
        Err(refused) if enforcement::carry_out(refused.refusal, route, record).is_err() => Err(refused),
        _ => Ok(()),
    }
}

/// The operation by which members are removed from the response. Where a server could read the path as another one, no
/// operation is trusted.
pub(crate) fn operation<'a>(description: &'a RouteDescription, call: &Call<'_>) -> DescribedOperation<'a> {
    if description.ignores_case || !call.head.non_canonical.is_none() {
        return description.api.unknown_operation();
    }
    description.api.operation(&call.parts.method, call.parts.uri.path())
}

fn checked(description: &RouteDescription, call: &Call<'_>) -> Result<(), Refused> {
    let body = call.body.bytes().ok_or(Refusal::Internal)?;
    let headers = &call.parts.headers;
    let mut kind = None;
    if !body.is_empty() {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refused::with(Detail::Coding, Refusal::ContentType));
        }
        kind = call.type_to_read()?;
    }
    let (method, uri) = (&call.parts.method, &call.parts.uri);
    let request = DescribedRequest { query: uri.query(), headers, kind: kind.as_deref(), body };
    description.api.check(method, uri.path(), &request).map_err(|fault| match fault {
        UndescribedRequest::Json(cause) => Refused::with(Detail::Json(cause), Refusal::Json),
        UndescribedRequest::Kind(kinds) => Refused::of_types(&kinds),
        UndescribedRequest::Misfit(misfit) => {
            let told = format!("{} {}", misfit.place, misfit.rule);
            let kept = format!("{} {}", misfit.kept_place, misfit.rule);
            Refused::with(Detail::Misfit { told: told.into(), kept: kept.into() }, Refusal::Schema)
        }
    })
}
