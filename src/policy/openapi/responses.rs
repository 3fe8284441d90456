//! Responses of the gateway itself: statuses, the form of their bodies.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::config::raw::{self, ErrorBody, Raw, Requirement};

/// The schema of refusals.
pub(super) fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "A refusal of the gateway. The code begins with the status.",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["requestId", "message", "code"],
            "properties": {
                "requestId": {"type": "string", "description": "Also in the field X-Request-Id."},
                "message": {"type": "string"},
                "code": {"type": "string", "pattern": "^[0-9]{3}-[0-9]{2}$"},
            },
        }},
    })
}

/// Statuses by which the gateway refuses calls of a route.
pub(super) fn refusals(route: &raw::Route, has_body: bool) -> BTreeSet<u16> {
    let requires = |requirement| route.require.contains(&requirement);
    let (client, customer, key) =
        (requires(Requirement::Client), requires(Requirement::Customer), requires(Requirement::ApiKey));
    let is_for_some = !route.allow.is_empty() || !route.deny.is_empty();
    let has_backend = route.respond.is_none() && route.redirect.is_none();
    let conditions = [
        (400, true),
        (401, client || customer || key),
        (403, key || customer || !route.scopes.is_empty() || is_for_some),
        (413, has_body),
        (415, has_body && (!route.content_types.is_empty() || route.validate.is_some())),
        (429, route.limits.rate.is_some() || key),
        (500, true),
        (502, has_backend),
        (503, true),
        (504, has_backend),
    ];
    conditions.into_iter().filter(|(_, occurs)| *occurs).map(|(status, _)| status).collect()
}

/// Adds the refusals of a route to the responses of an operation, where it does not have them itself.
pub(super) fn add_refusals(responses: &mut Map<String, Value>, raw: &Raw, route: &raw::Route, has_body: bool) {
    for status in refusals(route, has_body) {
        let (hundred, key) = (format!("{}XX", status / 100), status.to_string());
        if !responses.contains_key(&key) && !responses.contains_key(&hundred) {
            responses.insert(key, refusal(raw, Some(route), status));
        }
    }
}

/// The refusal with a status, in the form that is configured for it.
pub(super) fn refusal(raw: &Raw, route: Option<&raw::Route>, status: u16) -> Value {
    let mut bodies = route.iter().flat_map(|route| &route.errors).chain(&raw.errors);
    let own = bodies.find(|body| has_status(body, status));
    let content = match own {
        Some(body) => json!({ body.content_type.clone(): {} }),
        None => json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}),
    };
    json!({"description": meaning(status), "content": content})
}

fn has_status(body: &ErrorBody, status: u16) -> bool {
    body.status.as_ref().is_none_or(|statuses| statuses.as_slice().iter().any(|one| one.has(status)))
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is malformed, or does not fit the description.",
        401 => "A credential is missing or not valid.",
        403 => "The credentials do not allow this.",
        404 => "There is nothing here.",
        405 => "The method is not allowed here.",
        413 => "The body is too large.",
        415 => "The content type is not accepted.",
        429 => "Too many requests: retry after the seconds in Retry-After.",
        502 => "The response of the service behind the gateway is not valid.",
        503 => "Overloaded or unavailable: retry after the seconds in Retry-After.",
        504 => "The service behind the gateway did not answer in time.",
        _ => "The gateway failed.",
    }
}
