//! Explanations: a request goes through the very checks that decide about one, which note what they want and see. Nothing
//! is sent, counted, kept or logged.

pub(super) mod budget;
mod masked_request;
mod outcome;
pub mod question;
pub(super) mod refused;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header, request};

use super::connection::Connection;
use super::connection::taken_head::TakenHead;
use super::error::Refused;
use super::exchange::Exchange;
use super::host::Host;
use super::observe::access_log::AccessLog;
use super::observe::recent_refusals::RecentRefusals;
use super::observe::record::{Record, Telemetry};
use super::observe::request_shapes::RequestShapes;
use super::own_endpoint::name_of;
use super::request::call::{Call, Upload};
use super::request::request_id::RequestIds;
use super::request::target::{RequestContext, opened};
use super::{Current, Gateway, Shared, backend_choice, forward, identifier};
use crate::auth::token_cache::VerifiedTokens;
use crate::backend::pool::Pool;
use crate::body_stream::ArrivingBody;
use crate::explanation::Explanation;
use crate::explanation::trace::{CheckTrace, StepDetail};
use crate::metrics::WorkerMetrics;
use crate::policy::Target;
use crate::policy::route::Route;
use masked_request::MaskedRequest;

/// A request to be explained.
pub(super) struct Explained<'r> {
    pub(super) current: &'r Rc<Current>,
    pub(super) connection: &'r Rc<Connection>,
    pub(super) taken: &'r TakenHead,
    pub(super) head: Request<()>,
    /// The body, as far as it is there.
    pub(super) body: Option<Bytes>,
    pub(super) request_id: HeaderValue,
    /// The store may be asked for a session.
    pub(super) asks_store: bool,
}

/// The outcome of a request that passes all checks.
#[derive(Default)]
struct PassedRequest {
    identifier: Option<String>,
    request: Vec<String>,
}

impl Gateway {
    /// A gateway whose counters nobody reads, for explanations only.
    pub(super) fn explaining(shared: Arc<Shared>, current: &Rc<Current>) -> Box<Self> {
        let telemetry = Telemetry {
            worker_metrics: Arc::new(WorkerMetrics::default()),
            log: AccessLog::new(None),
            refusals: Arc::<RecentRefusals>::default(),
            observed: Arc::default(),
            tracer: None,
            shapes: RequestShapes::default().worker(),
        };
        Box::new(Self {
            pool: Pool::default(),
            telemetry: Rc::new(telemetry),
            ids: RequestIds::new(),
            verified: RefCell::new(VerifiedTokens::none()),
            current: RefCell::new(Rc::clone(current)),
            farewell: Rc::default(),
            explainer: OnceCell::new(),
            explanations: budget::ExplanationBudget::default(),
            shared,
        })
    }

    /// Explains a request. Only of a gateway that was made for this.
    pub(super) async fn explained(&self, explained: Explained<'_>) -> Explanation {
        let Explained { current, connection, taken, head, body, request_id, asks_store } = explained;
        self.current.replace(Rc::clone(current));
        let trace = Rc::new(CheckTrace::new(asks_store));
        let arrival = self.arrival(Rc::clone(connection), request_id, head.headers());
        let mut record = Record::open(Rc::clone(&self.telemetry), arrival, taken, head.method(), head.version());
        record.checks = Some(Rc::clone(&trace));
        let mut exchange = Exchange::new(record);
        let request = head.map(|()| ArrivingBody::none(connection.discard()));
        let passed = self.walk((current, connection, taken), request, body, &mut exchange).await;
        let (passage, refused) = match passed {
            Ok(passage) => (passage, None),
            Err(refused) => (PassedRequest::default(), Some(refused)),
        };
        let PassedRequest { identifier, request } = passage;
        let mut explanation = outcome::explanation(&exchange.record, &current.policy, trace.take(), refused.as_ref());
        (explanation.identifier, explanation.backend_request) = (identifier, request);
        explanation
    }

    /// The walk of a request through all checks, as in `answer`, up to the request that the backend would get.
    async fn walk(
        &self,
        (current, connection, taken): (&Rc<Current>, &Connection, &TakenHead),
        request: Request<ArrivingBody>,
        body: Option<Bytes>,
        exchange: &mut Exchange,
    ) -> Result<PassedRequest, Refused> {
        let record = &mut exchange.record;
        outcome::note_listener(connection, record.steps());
        if self.enter(current, connection, &request, record)?.is_some() {
            record.steps().skip("route", || StepDetail::new("a route", "the listener only redirects to https"));
            return Ok(PassedRequest::default());
        }
        let (policy, source) = (&current.policy, Rc::clone(&record.source));
        let context = RequestContext { policy, generation: current.generation, connection, source };
        let (target, mut call) = opened(context, taken, request, record, |_, _, _, _| ())?;
        let Target::Route(number) = target else {
            record.route = match target {
                Target::Preflight(asked) => name_of(policy, asked),
                _ => "own endpoint".into(),
            };
            let saw =
                "an endpoint of the gateway itself: its own checks (passwords, secrets, codes) count, and are not made";
            record.steps().skip("endpoint", || StepDetail::new("the checks of the endpoint", saw));
            return Ok(PassedRequest::default());
        };
        let route = &policy.routes[number as usize];
        record.route = Arc::clone(&route.name);
        record.route_number = Some(number);
        if let Some(body) = body {
            call.body = Upload::Read(body);
        }
        self.walk_route(route, call, exchange).await
    }

    async fn walk_route(
        &self,
        route: &Route,
        mut call: Box<Call<'_>>,
        exchange: &mut Exchange,
    ) -> Result<PassedRequest, Refused> {
        exchange.read_handshake(route, &mut call)?;
        let opens_websocket = exchange.handshake.is_some();
        let (record, rate_limit_headers) = (&mut exchange.record, &mut exchange.rate_limit_headers);
        let (caller, _) = self.authorize(route, &mut call, opens_websocket, record, rate_limit_headers).await?;
        let route = backend_choice::for_caller(route, &caller, &mut exchange.record);
        if route.direct.is_some() {
            let saw = "the gateway answers this route itself";
            exchange.record.steps().skip("backend", || StepDetail::new("a backend", saw));
            return Ok(PassedRequest::default());
        }
        let limit = route.body_limit.unwrap_or(call.connection.limits.body);
        let is_merged = !opens_websocket && identifier::reads_body(route, &call)?;
        if route.reads_body() || is_merged {
            call.read_body(limit, &exchange.record).await?;
        }
        if let Some(rewrite) = &route.rewrite {
            call.rewrite(rewrite, route.allowed_in_path)?;
        }
        let named = forward::prepared(route, &caller, &mut call, exchange)?;
        exchange.record.steps().note("backend", true, || {
            let name = &route.backend.name;
            StepDetail::new("a backend", format!("{name}; it is not called")).at(format!("/backends/{name}"))
        });
        outcome::note_standing(&route.backend, exchange.record.steps());
        let identifier = named.as_ref().map(|name| outcome::shown_identifier(route, name));
        let request = MaskedRequest { route, named: named.as_deref() }.lines(&call);
        Ok(PassedRequest { identifier, request })
    }
}

/// A request without its body, as it came.
pub(super) fn copied(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> Request<()> {
    let mut copy = Request::new(());
    copy.method_mut().clone_from(method);
    copy.uri_mut().clone_from(uri);
    *copy.version_mut() = version;
    copy.headers_mut().clone_from(headers);
    copy
}

/// The same of a head that has been read: its target lost the host with that, which HTTP/2 has only there.
pub(super) fn copied_parts(parts: &request::Parts, host: Option<&Host>) -> Request<()> {
    let mut copy = copied(&parts.method, &parts.uri, parts.version, &parts.headers);
    let is_named = parts.uri.authority().is_some()
        || (parts.version == Version::HTTP_2 && parts.headers.contains_key(header::HOST));
    let host = host.filter(|_| !is_named);
    if let (Some(host), Some(target)) = (host, parts.uri.path_and_query())
        && let Ok(whole) = Uri::builder()
            .scheme(if host.secure { "https" } else { "http" })
            .authority(host.authority.as_bytes())
            .path_and_query(target.clone())
            .build()
    {
        *copy.uri_mut() = whole;
    }
    copy
}
