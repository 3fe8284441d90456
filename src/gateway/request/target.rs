//! Routing: finds the route or the endpoint of a request, once its head has been read strictly.

use std::rc::Rc;
use std::sync::Arc;

use h2::ext::Protocol;
use http::{Method, Request, Version, request};
use http_body::Body as _;

use super::call::{Call, Upload};
use super::explained_route;
use super::head::Head;
use crate::body_stream::ArrivingBody;
use crate::explanation::trace::StepSink;
use crate::gateway::connection::Connection;
use crate::gateway::connection::client_address::ClientAddress;
use crate::gateway::connection::taken_head::TakenHead;
use crate::gateway::cors;
use crate::gateway::error::Refused;
use crate::gateway::host::Host;
use crate::gateway::observe::record::Record;
use crate::gateway::websocket_protocol::WEBSOCKET;
use crate::policy::choice::NoChoice;
use crate::policy::table::NotFound;
use crate::policy::{Policy, Preflighted, Target, path};
use crate::refusal::Refusal;

/// The context of a request: everything but its own bytes.
pub(crate) struct RequestContext<'a> {
    /// The policy in force.
    pub(crate) policy: &'a Arc<Policy>,
    /// The generation of the policy and of its issuers' keys.
    pub(crate) generation: u64,
    /// Its connection.
    pub(crate) connection: &'a Connection,
    /// Its source.
    pub(crate) source: Rc<ClientAddress>,
}

/// Reads the request strictly, and finds its route or endpoint. `refused` gets the head of one that has none.
pub(crate) fn opened<'a>(
    context: RequestContext<'a>,
    taken: &TakenHead,
    request: Request<ArrivingBody>,
    record: &mut Record,
    refused: impl FnOnce(&Refused, &request::Parts, Option<&Host>, &mut Record),
) -> Result<(Target, Box<Call<'a>>), Refused> {
    let (mut parts, body) = request.into_parts();
    let mut host = None;
    let aimed = aimed(&context, taken, &mut parts, &body, (record.steps(), &mut host));
    let (target, head) = aimed.inspect_err(|reason| {
        record.lost(parts.uri.path());
        refused(reason, &parts, host.as_deref(), record);
    })?;
    let RequestContext { policy, generation, connection, source } = context;
    let call = Call {
        policy,
        generation,
        connection,
        source,
        head,
        parts,
        body: Upload::Coming(body),
        asks_upgrade: taken.asks_upgrade(),
        is_asked_about: false,
    };
    Ok((target, Box::new(call)))
}

/// The target and the head. The host of a request without a target is left in `lost`.
fn aimed(
    context: &RequestContext<'_>,
    taken: &TakenHead,
    parts: &mut request::Parts,
    body: &ArrivingBody,
    (steps, lost): (StepSink<'_>, &mut Option<Rc<Host>>),
) -> Result<(Target, Head), Refused> {
    let RequestContext { policy, connection, source, .. } = context;
    if parts.method == Method::CONNECT && parts.version == Version::HTTP_2 {
        connect_as_get(parts)?;
    }
    let head = Head::read(taken, parts, !body.is_end_stream(), connection, source);
    steps.note("request", head.is_ok(), || explained_route::head(&head, parts, connection));
    let head = head?;
    let sought = match policy.forward_auth.as_ref().and_then(|endpoint| endpoint.target(parts.uri.path())) {
        Some(decision) => Ok(decision),
        None if connection.settings().only_decides => Err(Refusal::NoRoute.into()),
        None => found(policy, connection, &head, parts, steps),
    };
    match sought {
        Ok(target) => Ok((target, head)),
        Err(refused) => {
            *lost = Some(head.host);
            Err(refused)
        }
    }
}

/// Turns an extended CONNECT for a WebSocket into the GET by which routes are found (RFC 8441 section 5).
///
/// # Errors
/// [`Refusal::ConnectNotAllowed`] for any other CONNECT.
fn connect_as_get(parts: &mut request::Parts) -> Result<(), Refusal> {
    let protocol = parts.extensions.get::<Protocol>().map(Protocol::as_str);
    if protocol != Some(WEBSOCKET) {
        return Err(Refusal::ConnectNotAllowed);
    }
    parts.method = Method::GET;
    Ok(())
}

/// The route or endpoint of a request on its listener.
pub(crate) fn found(
    policy: &Policy,
    connection: &Connection,
    head: &Head,
    parts: &request::Parts,
    steps: StepSink<'_>,
) -> Result<Target, Refused> {
    let outcome = searched(policy, connection, head, parts);
    if steps.is_on() {
        explained_route::route(policy, (connection, head, parts), &outcome, steps);
    }
    outcome
}

fn searched(policy: &Policy, connection: &Connection, head: &Head, parts: &request::Parts) -> Result<Target, Refused> {
    if parts.uri.path() == "*" {
        return Ok(Target::Everything);
    }
    let table = policy.tables.get(connection.settings().number).ok_or(Refusal::NoRoute)?;
    if policy.has_cors
        && let Some(method) = cors::asked_method(&parts.method, &parts.headers)
        && let Ok(target) = table.find(&head.host.name, parts.uri.path(), &method)
        && let Some(asked) = preflighted(policy, target, head)
    {
        return Ok(Target::Preflight(asked));
    }
    let find = |path: &str| table.find(&head.host.name, path, &parts.method);
    let is_oauth =
        || matches!(table.find(&head.host.name, parts.uri.path(), &Method::POST), Ok(target) if target.is_oauth());
    let target = find(parts.uri.path()).map_err(|fault| not_found(fault, is_oauth))?;
    let chosen = policy.chosen(target, &parts.headers, parts.uri.query()).map_err(not_chosen)?;
    if head.non_canonical.is_none() {
        return Ok(chosen);
    }
    // Whatever a server makes of this path, it is one of the same route, which lets it pass.
    let is_allowed = matches!(chosen, Target::Route(number) if policy.routes[number as usize].allowed_in_path.has(head.non_canonical));
    let leads_there = |path: &String| find(path) == Ok(target);
    match path::readings(parts.uri.path(), head.non_canonical) {
        Ok(all) if is_allowed && all.iter().all(leads_there) => Ok(chosen),
        _ => Err(Refusal::AmbiguousPath.into()),
    }
}

/// What a preflight asks about; `None` where it has no CORS rules.
fn preflighted(policy: &Policy, target: Target, head: &Head) -> Option<Preflighted> {
    // A preflight has none of the fields that choose among routes; these have the same rules.
    let asked = match policy.routes_of(&target).next() {
        Some((number, route)) if route.allowed_in_path.has(head.non_canonical) => Preflighted::Route(number),
        Some(_) => return None,
        None => Preflighted::own(target).filter(|_| head.non_canonical.is_none())?,
    };
    policy.cors_of(asked).map(|_| asked)
}

fn not_chosen(reason: NoChoice) -> Refusal {
    match reason {
        NoChoice::Unmet => Refusal::NoRoute,
        NoChoice::Ambiguous => Refusal::AmbiguousRoute,
    }
}

/// The refusal of a request without a route; `is_oauth` is true if an OAuth endpoint has this path.
fn not_found(not_found: NotFound, is_oauth: impl FnOnce() -> bool) -> Refused {
    match not_found {
        NotFound::Path => Refusal::NoRoute.into(),
        NotFound::Case => Refusal::AmbiguousPath.into(),
        NotFound::Method(allow) => Refused { allow: Some(allow), oauth: is_oauth(), ..Refusal::Method.into() },
    }
}
