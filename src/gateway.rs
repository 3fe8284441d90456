//! One request in, one response out. **Start reading here.**
//!
//! [`Gateway::handle`] is total: it always gives a response and closes the record of the request exactly once.
//! Around it, [`Gateway::answer`] is one straight line of checks, each of which can refuse.

mod authorize;
mod backend_choice;
mod body_headers;
pub mod connection;
mod cors;
mod direct_response;
pub mod endpoints;
mod enforcement;
mod entry;
pub(crate) mod error;
mod exchange;
pub mod explain;
pub mod forward;
mod forward_auth;
pub mod host;
mod identifier;
pub mod memory;
pub mod observe;
mod own_endpoint;
pub(crate) mod rate_limit;
mod redirect;
mod refusal_response;
pub(crate) mod request;
pub(crate) mod response;
mod shared;
mod token_id;
pub(crate) mod websocket;
mod websocket_protocol;

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::Body as _;

use crate::auth::Caller;
use crate::auth::token_cache::VerifiedTokens;
use crate::backend::pool::Pool;
use crate::body_stream::{ArrivingBody, BufferShare};
use crate::metrics::{TURN, WorkerMetrics};
use crate::policy::route::Route;
use crate::policy::{Policy, Preflighted, Target};
use crate::refusal::Refusal;
use connection::Connection;
use connection::taken_head::TakenHead;
use cors::CorsContext;
pub use endpoints::lockout::{attempts_from, attempts_of, shown as shown_attempt};
pub use endpoints::logout::{customer_of_backend, customer_rules, end_family, end_of, last_end};
use endpoints::options::options;
use error::Refused;
use exchange::Exchange;
use explain::budget::ExplanationBudget;
use explain::refused::Origin;
use explain::{copied, copied_parts};
use forward::json_response::ResponseFilter;
use observe::access_log::{AccessLog, AccessLogWriter};
use observe::record::trace::Tracer;
use observe::record::{Arrival, Record, Telemetry};
use refusal_response::{ends_connection, refusal_response};
use request::buffering::BufferBounds;
use request::call::Call;
use request::request_id::{REQUEST_ID, RequestIds};
use request::target::{RequestContext, opened};
use response::body::ResponseBody;
use response::graceful_close::Farewell;
pub use shared::Shared;

/// A worker's gateway.
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    pool: Pool,
    telemetry: Rc<Telemetry>,
    ids: RequestIds,
    verified: RefCell<VerifiedTokens>,
    current: RefCell<Rc<Current>>,
    farewell: Rc<Farewell>,
    /// Explains refusals, once there are any.
    explainer: OnceCell<Box<Gateway>>,
    explanations: ExplanationBudget,
}

/// The policy as this worker last saw it, with its generation.
pub(crate) struct Current {
    generation: u64,
    policy: Arc<Policy>,
}

impl Current {
    /// The policy in force.
    fn of(shared: &Shared) -> Self {
        Self { generation: shared.lasting.generation.load(Ordering::Acquire), policy: shared.policy() }
    }
}

/// The response to a caller.
pub(crate) type Answer = Response<ResponseBody>;

impl Gateway {
    /// Creates the gateway of a new worker.
    pub(crate) fn new(shared: Arc<Shared>, log: Option<AccessLogWriter>) -> Self {
        let log = AccessLog::new(log);
        log.choose(&shared.policy().access_log);
        let telemetry = Rc::new(Telemetry {
            worker_metrics: shared.metrics.worker(),
            log,
            shapes: shared.shapes.worker(),
            refusals: Arc::clone(&shared.refusals),
            observed: Arc::clone(&shared.observed),
            tracer: shared.recording.clone().map(Tracer::new),
        });
        let current = Current::of(&shared);
        Self {
            pool: Pool::default(),
            telemetry,
            ids: RequestIds::new(),
            verified: RefCell::default(),
            current: RefCell::new(Rc::new(current)),
            farewell: Rc::default(),
            explainer: OnceCell::new(),
            explanations: ExplanationBudget::default(),
            shared,
        }
    }

    /// Returns whether memory is too short to serve new requests.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.shared.memory.is_short()
    }

    /// While the process drains: when connections that are never quiet are announced to end, and when they end also in
    /// the middle of a response.
    pub(crate) fn insists_from(&self) -> Option<[Instant; 2]> {
        self.shared.insists_from.get().copied()
    }

    /// The process drains: WebSockets and event streams of this worker get a time to end by.
    pub(crate) fn drains(&self) {
        self.farewell.begin(self.shared.grace.get().copied().unwrap_or_default());
    }

    /// This worker's counters.
    pub(crate) fn worker_metrics(&self) -> &WorkerMetrics {
        &self.telemetry.worker_metrics
    }

    /// Runs the periodic work of the worker for as long as it is polled: heartbeat, idle pool connections, the access
    /// log.
    pub(crate) async fn run(&self) {
        let reap = async {
            loop {
                tokio::time::sleep(TURN).await;
                self.worker_metrics().turned(Instant::now());
                // A worker without requests lets go of a policy of before as well.
                drop(self.current());
                self.pool.reap();
            }
        };
        tokio::join!(reap, self.telemetry.log.run());
    }

    /// Hands over all access-log lines.
    pub(crate) fn flush(&self) {
        self.telemetry.log.flush();
    }

    /// Answers a request. Always gives a response; the record is written when its last byte is gone.
    ///
    /// Large values are boxed on the whole way: each of these futures would have room for them, twice.
    pub(crate) async fn handle(
        self: &Rc<Self>,
        connection: Rc<Connection>,
        request: Box<Request<ArrivingBody>>,
    ) -> Answer {
        let taken = TakenHead::of(&request, &connection);
        connection.renew();
        let arrival = self.arrival(Rc::clone(&connection), self.ids.of(request.headers()), request.headers());
        let record = Record::open(Rc::clone(&self.telemetry), arrival, &taken, request.method(), request.version());
        let current = self.current();
        let is_http2 = request.version() == Version::HTTP_2;
        let is_http_1_0 = request.version() == Version::HTTP_10;
        // HTTP/1.1 leaves the content out by itself.
        let is_head = is_http2 && *request.method() == Method::HEAD;
        let mut exchange = Exchange::new(record);
        let mut response = match self.answer(&current, &connection, &taken, request, &mut exchange).await {
            Ok(response) => response,
            Err(refused) => {
                exchange.record.trace.refused(refused.refusal);
                self.summarize_refusal(&connection, &refused, &mut exchange.record);
                let mut response = refusal_response(&refused, &mut exchange.record, &current.policy);
                if !is_http2 && (!taken.is_clear() || ends_connection(refused.refusal, &connection)) {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        };
        let Exchange { mut record, rate_limit_headers, cors, handshake, agreed, .. } = exchange;
        // A handshake that the backend has not taken up keeps its share until the response ends.
        record.held = handshake.map(|handshake| handshake as Box<dyn Any>);
        record.answered(response.status());
        if let Some(fields) = rate_limit_headers {
            fields.write(response.headers_mut());
        }
        if let Some(cors) = cors {
            cors.apply_headers(response.headers_mut());
        }
        connection.settings().apply_headers(response.headers_mut());
        response.headers_mut().insert(REQUEST_ID, record.request_id.clone());
        if let Some(agreed) = agreed {
            self.open(*agreed, connection, record);
            return response;
        }
        // Whatever came behind a wish for another protocol was meant for that.
        let is_last = connection.ends_soon() || taken.asks_upgrade() || !connection.goes_on(taken.expects_continue());
        // HTTP/1.0 has no chunks: a body of unknown length ends with the connection.
        let is_last = is_last || (is_http_1_0 && response.body().size_hint().exact().is_none());
        if is_last && !is_http2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if is_http_1_0 && response.headers().contains_key(header::CONNECTION) {
            // Otherwise the library adds `keep-alive` where the caller wished it.
            *response.version_mut() = Version::HTTP_10;
        }
        let response = if is_head { response::body::without_content(response) } else { response };
        response.map(|body| body.recorded(record))
    }

    async fn answer(
        &self,
        current: &Rc<Current>,
        connection: &Rc<Connection>,
        taken: &TakenHead,
        request: Box<Request<ArrivingBody>>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refused> {
        if self.shared.memory.is_short() {
            return Err(Refusal::Memory.into());
        }
        let record = &mut exchange.record;
        record.trace.step("request");
        let origin = Origin { current, connection, taken };
        let entered = self.enter(current, connection, &request, record);
        if let Err(refused) = &entered {
            let copy = || (copied(request.method(), request.uri(), request.version(), request.headers()), None);
            self.explain_refusal(origin, copy, Some(refused), record);
        }
        if let Some(redirect) = entered.inspect_err(|_| record.lost(request.uri().path()))? {
            return Ok(redirect);
        }
        let (policy, source) = (&current.policy, Rc::clone(&record.source));
        let context = RequestContext { policy, generation: current.generation, connection, source };
        let (target, call) = opened(context, taken, *request, record, |refused, parts, host, record| {
            let copy = || (copied_parts(parts, host), None);
            self.explain_refusal(origin, copy, Some(refused), record);
        })?;
        let Target::Route(number) = target else {
            let _in_flight = self.shared.answers_itself();
            if let Some(rules) = Preflighted::own(target).and_then(|own| policy.cors_of(own)) {
                exchange.cors = Some(Box::new(CorsContext::of(rules, &call.parts.headers)));
            }
            return self.endpoint(target, call, exchange).await;
        };
        let route = &policy.routes[number as usize];
        record.route = Arc::clone(&route.name);
        record.route_number = Some(number);
        exchange.cors = route.cors.as_ref().map(|cors| Box::new(CorsContext::of(cors, &call.parts.headers)));
        self.route(route, call, exchange, &origin).await
    }

    /// A call of a backend: check it, prepare the request, send it.
    async fn route(
        &self,
        route: &Route,
        mut call: Box<Call<'_>>,
        exchange: &mut Exchange,
        origin: &Origin<'_>,
    ) -> Result<Answer, Refused> {
        exchange.read_handshake(route, &mut call)?;
        let opens_websocket = exchange.handshake.is_some();
        let (record, rate_limit_headers) = (&mut exchange.record, &mut exchange.rate_limit_headers);
        let (caller, proof) = match self.authorize(route, &mut call, opens_websocket, record, rate_limit_headers).await
        {
            Ok(authorized) => authorized,
            Err(refused) => {
                self.explain_call(*origin, &call, Some(&refused), record);
                return Err(refused);
            }
        };
        if record.observed.is_some() {
            self.explain_call(*origin, &call, None, record);
        }
        let route = backend_choice::for_caller(route, &caller, &mut exchange.record);
        exchange.keep_proof(proof);
        if let Some(direct) = &route.direct {
            return direct_response::answer(direct, route, &call);
        }
        let limit = route.body_limit.unwrap_or(call.connection.limits.body);
        exchange.record.trace.step("body");
        let is_merged = !opens_websocket && identifier::reads_body(route, &call)?;
        if route.reads_body() || is_merged || forward::is_kept_for_retry(route, &call.parts.method, &call.head) {
            call.read_body(limit, &exchange.record).await?;
        } else if call.seeks_length(route) || forward::is_buffered_for_retry(route, &call.parts.method, &call.head) {
            Box::pin(self.seek_length(route, &caller, &mut call, limit, &mut exchange.record)).await?;
        }
        let described = match route.description.as_deref() {
            None => None,
            Some(description) => {
                if description.validates {
                    request::validation::fits_description(description, route, &call, &mut exchange.record)?;
                }
                Some(request::validation::operation(description, &call))
            }
        };
        if call.parts.method == Method::OPTIONS && call.goes_no_further() {
            return Ok(options(Some(route)));
        }
        if let Some(rewrite) = &route.rewrite {
            call.rewrite(rewrite, route.allowed_in_path)?;
        }
        let is_head = call.parts.method == Method::HEAD;
        let answer = self.forward(route, &caller, call, exchange).await?;
        let Some(rules) = &route.response else { return Ok(answer) };
        exchange.record.trace.step("response filter");
        let removed = described.and_then(|operation| operation.removed(answer.status()));
        if removed.is_none() && route.description.as_ref().is_some_and(|description| description.only_removes) {
            return Ok(answer);
        }
        let filter = ResponseFilter { rules, removed, is_head, route };
        Ok(Box::pin(filter.filtered(answer, &exchange.record)).await?)
    }

    /// Finds the length of a body of at most `limit` bytes that announces none.
    async fn seek_length(
        &self,
        route: &Route,
        caller: &Caller,
        call: &mut Call<'_>,
        limit: u64,
        record: &mut Record,
    ) -> Result<(), Refused> {
        let share = |record: &mut Record| {
            let held = self.buffer_share(route, caller, record)?;
            Ok(Box::new(held) as BufferShare)
        };
        let bounds = BufferBounds { limit, memory: &self.shared.memory, share: &share };
        call.seek_length(route, bounds, record).await
    }

    /// The policy in force. Within a worker it is handed around without touching shared memory.
    fn current(&self) -> Rc<Current> {
        let generation = self.shared.lasting.generation.load(Ordering::Acquire);
        let mut current = self.current.borrow_mut();
        if current.generation != generation {
            *current = Rc::new(Current { generation, policy: self.shared.policy() });
            // What was verified under the old policy might be refused under the new one.
            self.verified.borrow_mut().clear();
            self.telemetry.log.choose(&current.policy.access_log);
            if let Some(explainer) = self.explainer.get() {
                explainer.current.replace(Rc::clone(&current));
            }
        }
        Rc::clone(&current)
    }

    fn arrival(&self, connection: Rc<Connection>, request_id: HeaderValue, headers: &HeaderMap) -> Arrival {
        let trace = self.telemetry.tracer.as_ref().map(|tracer| tracer.begin(headers, !connection.is_of_one_caller()));
        let trace = trace.unwrap_or_default();
        Arrival { connection, started: Instant::now(), time: SystemTime::now(), request_id, trace }
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<This, Connection, Request, Answered>(_: impl Fn(This, Connection, Request) -> Answered) -> usize {
        size_of::<Answered>()
    }

    #[test]
    fn the_future_of_a_request_stays_small() {
        let size = size(Gateway::handle);
        assert!(size <= 2_568, "{size} bytes");
    }
}
