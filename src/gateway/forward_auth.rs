//! Forward-auth: another proxy asks before it forwards, and gets yes or no by the checks of direct requests.

pub(crate) mod ext_authz;
pub(crate) mod forwarded_request;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response};

use super::connection::Connection;
use super::connection::client_address::{ClientAddress, Networks};
use super::error::Refused;
use super::exchange::Exchange;
use super::forward::headers;
use super::request::call::{Call, Upload};
use super::request::head::Head;
use super::request::target::found;
use super::response::body::ResponseBody;
use super::{Answer, Gateway, identifier};
use crate::config::raw::Requirement;
use crate::policy::forward_auth::ForwardAuth;
use crate::policy::route::{Placement, Route};
use crate::policy::{Policy, Target};
use crate::refusal::Refusal;
use forwarded_request::ForwardedRequest;

/// The route name in log and metrics, until the route is known.
pub(super) const NAME: &str = "forward_auth";

/// The header changes for a request that may pass.
pub(super) struct AuthDecision {
    /// Identity fields to set, in place of those in the request.
    pub(super) identity: HeaderMap,
    /// The new `Cookie`, where the gateway's own cookies were in it.
    pub(super) cookies: Option<HeaderValue>,
    /// Fields to remove.
    pub(super) removed: Vec<HeaderName>,
}

/// The proxy's handling of the caller's fields that a decision does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// It sends them to the backend, as nginx, Traefik and Caddy do.
    PassedOn,
    /// It removes the fields that it is told by name.
    Removed,
}

/// The proxy's connection, the policy, and the attributes of the question.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    policy: &'a Arc<Policy>,
    generation: u64,
    connection: &'a Connection,
    asks_upgrade: bool,
}

impl<'a> Asking<'a> {
    /// The attributes of this question.
    pub(super) fn of(question: &Call<'a>) -> Self {
        Self {
            policy: question.policy,
            generation: question.generation,
            connection: question.connection,
            asks_upgrade: question.asks_upgrade,
        }
    }
}

impl Gateway {
    /// Answers nginx, Traefik or Caddy: 200 with the fields to set, or the refusal that the request would get here.
    pub(super) async fn decide(&self, call: Box<Call<'_>>, exchange: &mut Exchange) -> Result<Answer, Refused> {
        asked_by(call.policy, call.connection)?;
        let asking = Asking::of(&call);
        let (original, by_nginx) = ForwardedRequest::read(call.parts.headers)?;
        let judged = self.verdict_on(asking, original, Unnamed::PassedOn, exchange).await;
        let verdict = judged.map_err(|refused| Refused { narrow: by_nginx, ..refused })?;
        let mut response = Response::new(ResponseBody::full(Bytes::new()));
        *response.headers_mut() = verdict.identity;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Decides whether a request may pass, by all checks of direct requests. Only its body is not seen.
    pub(super) async fn verdict_on(
        &self,
        asking: Asking<'_>,
        original: ForwardedRequest,
        unnamed: Unnamed,
        exchange: &mut Exchange,
    ) -> Result<AuthDecision, Refused> {
        let Asking { policy, generation, connection, asks_upgrade } = asking;
        let ForwardedRequest { mut parts, host, secure, address } = original;
        // The proxy has let it in already.
        let source = Rc::new(ClientAddress::direct(address, secure, &Networks::default()));
        exchange.record.source = Rc::clone(&source);
        let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH)
            || parts.headers.contains_key(header::CONTENT_TYPE);
        let head = Head::of(&mut parts, &host, has_body, connection.limits.target, &source)?;
        if !connection.settings().serves(&head.host.name) {
            return Err(Refusal::HostNotServed.into());
        }
        let target = match found(policy, connection, &head, &parts, exchange.record.steps()) {
            Ok(Target::Route(number)) => Ok(number),
            Ok(_) => Err(Refusal::NoRoute.into()),
            Err(refused) => Err(refused),
        };
        let number = target.inspect_err(|_| exchange.record.lost(parts.uri.path()))?;
        let route = &policy.routes[number as usize];
        exchange.record.route = Arc::clone(&route.name);
        exchange.record.route_number = Some(number);
        // The other proxy forwards what passes, and this route is not forwarded.
        if route.direct.is_some() {
            return Err(Refusal::NoRoute.into());
        }
        if route.reads_body() || route.is_told_in_target() {
            return Err(Refusal::NeedsBody.into());
        }
        if unnamed == Unnamed::PassedOn && parts.headers.keys().any(|name| is_forged(policy, route, name)) {
            return Err(Refusal::IdentifierMismatch.into());
        }
        let mut call = Call {
            policy,
            generation,
            connection,
            source,
            head,
            parts,
            body: Upload::Read(Bytes::new()),
            asks_upgrade,
            is_asked_about: true,
        };
        exchange.read_handshake(route, &mut call)?;
        let opens_websocket = exchange.handshake.is_some();
        let (record, rate_limit_headers) = (&mut exchange.record, &mut exchange.rate_limit_headers);
        let (caller, _) = self.authorize(route, &mut call, opens_websocket, record, rate_limit_headers).await?;
        let came = std::mem::take(&mut call.parts.headers);
        identifier::place(route, &caller, &mut call, record)?;
        let identity = call.parts.headers;
        let kept: Vec<HeaderName> =
            route.forward.iter().flat_map(|credential| headers::fields_of(route, *credential)).cloned().collect();
        // What the route lets pass of claims is not in its own set.
        let goes = |endpoint: &ForwardAuth, name: &HeaderName| {
            endpoint.withholds(name) || (endpoint.is_claim_behind_envoy(name) && route.stripped.contains(name))
        };
        let is_withheld = |name: &&HeaderName| {
            policy.forward_auth.as_ref().is_some_and(|endpoint| goes(endpoint, name))
                && !kept.contains(name)
                && !identity.contains_key(*name)
        };
        let mut removed: Vec<HeaderName> = came.keys().filter(is_withheld).cloned().collect();
        let mut cookies = None;
        if !route.forward.contains(&Requirement::Customer) && came.contains_key(header::COOKIE) {
            let mut rest = came.clone();
            headers::remove_cookies(&mut rest, &route.own_cookies);
            match rest.remove(header::COOKIE) {
                None => removed.push(header::COOKIE),
                Some(left) => cookies = Some(left).filter(|left| came.get(header::COOKIE) != Some(left)),
            }
        }
        Ok(AuthDecision { identity, cookies, removed })
    }
}

/// True if a caller sends a field that only the gateway may write. On a route that tells its backend the customer the
/// caller may name it too; the other checks compare it.
fn is_forged(policy: &Policy, route: &Route, name: &HeaderName) -> bool {
    let is_told = matches!(&route.placement, Some(Placement::Header(told)) if told == name);
    !is_told && policy.forward_auth.as_ref().is_some_and(|forward_auth| forward_auth.forbids(name))
}

/// Checks that the peer may ask: a configured proxy, on the endpoint's own listener or, without one, on a connection
/// without a trusted proxy.
///
/// # Errors
/// [`Refusal::AddressNotAllowed`] for everybody else.
pub(super) fn asked_by(policy: &Policy, connection: &Connection) -> Result<(), Refusal> {
    let is_place = |endpoint: &ForwardAuth| match endpoint.is_apart() {
        true => connection.settings().only_decides,
        false => connection.is_of_one_caller(),
    };
    let may_ask = |endpoint: &ForwardAuth| is_place(endpoint) && endpoint.allows(connection.source().address);
    if policy.forward_auth.as_ref().is_some_and(may_ask) { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}
