//! The record of a request: one log line and one set of counts, exactly once, also when the caller hangs up.

mod chosen_fields;
pub(crate) mod trace;

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::access_log::AccessLog;
use super::observed_refusals::ObservedRefusals;
use super::recent_refusals::{RecentRefusal, RecentRefusals};
use super::request_shapes::{ShapeOf, WorkerShapes};
use crate::auth::attribution::Attribution;
use crate::backend::Permit;
use crate::backend::fault::FaultNote;
use crate::backend::pool::response_body::AnswerBody;
use crate::body_stream::Progress;
use crate::customer::Identifier;
use crate::explanation::Explanation;
use crate::explanation::trace::{CheckTrace, StepSink};
use crate::gateway::connection::Connection;
use crate::gateway::connection::client_address::ClientAddress;
use crate::gateway::connection::taken_head::TakenHead;
use crate::gateway::error;
use crate::log_line::{micros, number, optional, text, timestamp};
use crate::metrics::{RequestKey, WorkerMetrics};
use crate::refusal::Refusal;
use crate::secret::has_secret_shape;
use http::{HeaderValue, Method, StatusCode, Version};
use trace::{RequestTrace, Tracer};

/// The status in log and metrics where the client left before a response (nginx's 499).
const CALLER_LEFT: u16 = 499;

/// The counters and the access log of a worker.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) worker_metrics: Arc<WorkerMetrics>,
    pub(crate) log: AccessLog,
    pub(crate) shapes: Arc<WorkerShapes>,
    pub(crate) refusals: Arc<RecentRefusals>,
    pub(crate) observed: Arc<ObservedRefusals>,
    /// Off: `None`.
    pub(crate) tracer: Option<Tracer>,
}

/// The record of a request; counted and logged when dropped.
pub(crate) struct Record {
    telemetry: Rc<Telemetry>,
    connection: Rc<Connection>,
    /// The source of the request.
    pub(crate) source: Rc<ClientAddress>,
    started: Instant,
    /// The deadline of the exchange.
    pub(crate) until: Instant,
    /// The time of arrival.
    pub(crate) time: SystemTime,
    protocol: &'static str,
    pub(crate) method: &'static str,
    /// The request id.
    pub(crate) request_id: HeaderValue,
    /// The route's name, or that of an endpoint.
    pub(crate) route: Arc<str>,
    /// The number of its route, once that is known.
    pub(crate) route_number: Option<u32>,
    status: u16,
    /// The decided status of a forward-auth question.
    pub(crate) decided: Option<StatusCode>,
    /// The reason of its refusal.
    pub(crate) refusal: Option<Refusal>,
    /// The refusal that an observing route did not carry out.
    pub(crate) observed: Option<Refusal>,
    /// The explanation of its refusal, where one was made.
    pub(crate) explanation: Option<Arc<Explanation>>,
    /// The steps so far, where the request is not answered but explained: then nothing is counted or logged.
    pub(crate) checks: Option<Rc<CheckTrace>>,
    /// The identities of the presented credentials. A client that asks for a token and has not authenticated itself is
    /// the one of gateway.yaml that it claims to be.
    pub(crate) known: Attribution,
    /// The pseudonym of the name that it tries to prove.
    pub(crate) attempt: Option<Box<str>>,
    /// Further facts for the audit log: the grant, the scopes, the id of what was issued or revoked.
    pub(crate) facts: Vec<(&'static str, Box<str>)>,
    /// The path of a request without a route.
    path: Option<Box<str>>,
    /// Progress of the request body.
    pub(crate) progress: Rc<Progress>,
    bytes_out: u64,
    /// The backend that was chosen, on a route with several.
    pub(crate) backend: Option<Arc<str>>,
    /// What the backend did that failed.
    pub(crate) backend_fault: FaultNote,
    /// Time from sending the request to the backend to the head of its response.
    pub(crate) backend_time: Option<Duration>,
    /// The backend's permit, until the response has been read.
    pub(crate) permit: Option<Permit>,
    /// A guard that lasts until the response ends.
    pub(crate) held: Option<Box<dyn Any>>,
    complete: bool,
    /// Its place in a trace.
    pub(crate) trace: RequestTrace,
}

/// The attributes of a request on arrival.
pub(crate) struct Arrival {
    pub(crate) connection: Rc<Connection>,
    pub(crate) started: Instant,
    pub(crate) time: SystemTime,
    pub(crate) request_id: HeaderValue,
    pub(crate) trace: RequestTrace,
}

impl Record {
    /// Opens the record of a request, whose head has been taken.
    pub(crate) fn open(
        telemetry: Rc<Telemetry>,
        arrival: Arrival,
        _taken: &TakenHead,
        method: &Method,
        version: Version,
    ) -> Box<Self> {
        telemetry.worker_metrics.request_began();
        arrival.connection.request_began(arrival.started);
        let until = arrival.started + arrival.connection.limits.request_timeout;
        Box::new(Self {
            telemetry,
            until,
            source: arrival.connection.source(),
            connection: arrival.connection,
            started: arrival.started,
            time: arrival.time,
            protocol: protocol(version),
            method: method_word(method),
            request_id: arrival.request_id,
            route: no_route(),
            route_number: None,
            status: CALLER_LEFT,
            decided: None,
            refusal: None,
            observed: None,
            explanation: None,
            checks: None,
            known: Attribution::default(),
            attempt: None,
            facts: Vec::new(),
            path: None,
            progress: Rc::default(),
            bytes_out: 0,
            backend: None,
            backend_fault: FaultNote::default(),
            backend_time: None,
            permit: None,
            held: None,
            complete: false,
            trace: arrival.trace,
        })
    }

    /// Notes the status of the response.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = self.decided.unwrap_or(status).as_u16();
    }

    /// Notes the path of a request that is refused before a route is found.
    pub(crate) fn lost(&mut self, path: &str) {
        self.path = Some(shown_path(path));
    }

    /// Notes a fact for the audit log.
    pub(crate) fn fact(&mut self, key: &'static str, value: &str) {
        self.facts.push((key, value.into()));
    }

    /// Notes that the received bytes were no request, and have no method.
    pub(crate) fn unparsed(&mut self) {
        self.method = "other";
    }

    /// Counts a refusal that was carried out because the caller is in the enforced share of a route that observes.
    pub(crate) fn refused_in_share(&self) {
        self.telemetry.observed.refused(&self.route);
    }

    /// Counts bytes of the response that were handed on.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// True if the rest of the request's body may take as long as the caller likes.
    pub(crate) fn awaits_body(&self) -> bool {
        self.connection.is_multiplexed() || self.connection.has_unread()
    }

    /// Notes that the backend's response broke off in its body, by itself or at the end of the exchange's time.
    pub(crate) fn broke_off(&mut self, body: &AnswerBody) {
        if Instant::now() >= self.until && !self.connection.is_multiplexed() {
            self.connection.broken("request_timeout");
        }
        if let Some(permit) = self.permit.take_if(|_| Instant::now() < self.until) {
            self.refusal.get_or_insert(Refusal::BackendResponse);
            self.telemetry.worker_metrics.backend_failed(permit.backend(), "broken");
            body.note_broken_off(&self.backend_fault);
            body.log_broken_off(&self.request_id);
        }
    }

    /// Notes that the response is complete. Otherwise it broke off.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
        self.permit = None;
    }

    /// Receives the steps of its checks.
    pub(crate) fn steps(&self) -> StepSink<'_> {
        StepSink::to(self.checks.as_deref())
    }

    /// The request id as text.
    pub(crate) fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Its entry among the recent refusals.
    fn recent_refusal(&mut self, refusal: Refusal) -> RecentRefusal {
        let time = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        RecentRefusal {
            request_id: self.id().to_owned(),
            time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            route: Arc::clone(&self.route),
            method: self.method,
            status: self.status,
            refusal: refusal.as_str(),
            code: error::row(refusal).code,
            observed: self.refusal.is_none(),
            client_address: self.source.address_text().to_owned(),
            client: self.known.client.clone(),
            api_key: self.known.api_key.clone(),
            customer: self.known.customer.as_ref().map(|customer| customer.as_str().to_owned()),
            backend: self.backend.clone(),
            backend_fault: self.backend_fault().map(Into::into),
            explanation: self.explanation.take(),
        }
    }

    /// What the backend did, where that is why the request was refused.
    fn backend_fault(&self) -> Option<Box<str>> {
        self.refusal.filter(|refusal| refusal.is_of_backend()).and_then(|_| self.backend_fault.noted())
    }

    fn write(&self, line: &mut Vec<u8>, duration: Duration) {
        line.extend_from_slice(b"{\"time\":\"");
        timestamp(line, self.time);
        text(line, "\",\"request_id\":\"", self.id());
        line.extend_from_slice(b"\",\"client_address\":\"");
        line.extend_from_slice(self.source.address_text().as_bytes());
        text(line, "\",\"protocol\":\"", self.protocol);
        text(line, "\",\"method\":\"", self.method);
        line.push(b'"');
        optional(line, ",\"route\":", Some(&self.route).filter(|route| ***route != *NO_ROUTE).map(|route| &**route));
        number(line, ",\"status\":", u64::from(self.status));
        optional(line, ",\"refusal\":", self.refusal.map(Refusal::as_str));
        optional(line, ",\"code\":", self.refusal.map(|refusal| error::row(refusal).code));
        optional(line, ",\"observed\":", self.observed.map(Refusal::as_str));
        let Attribution { client, api_key, customer, lacks } = &self.known;
        optional(line, ",\"client\":", client.as_deref());
        optional(line, ",\"api_key\":", api_key.as_deref());
        optional(line, ",\"customer\":", customer.as_ref().map(Identifier::as_str));
        // Of refusals only.
        for (before, value) in [(",\"scope\":", lacks), (",\"attempt\":", &self.attempt), (",\"path\":", &self.path)] {
            if value.is_some() && (self.refusal.is_some() || self.observed.is_some()) {
                optional(line, before, value.as_deref());
            }
        }
        if self.backend.is_some() {
            optional(line, ",\"backend\":", self.backend.as_deref());
        }
        if let Some(fault) = self.backend_fault() {
            optional(line, ",\"backend_fault\":", Some(&fault));
        }
        number(line, ",\"bytes_in\":", self.progress.bytes());
        number(line, ",\"bytes_out\":", self.bytes_out);
        number(line, ",\"duration_us\":", micros(duration));
        match self.backend_time {
            Some(time) => number(line, ",\"backend_us\":", micros(time)),
            None => line.extend_from_slice(b",\"backend_us\":null"),
        }
        line.extend_from_slice(if self.complete { b",\"complete\":true" } else { b",\"complete\":false" });
        if let Some(trace_id) = self.trace.recorded() {
            optional(line, ",\"trace_id\":", Some(&format!("{trace_id:032x}")));
        }
        line.push(b'}');
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        let duration = now.saturating_duration_since(self.started);
        self.connection.request_ended(now);
        if self.checks.is_some() {
            return;
        }
        let key = RequestKey {
            route: Arc::clone(&self.route),
            method: self.method,
            status: self.status,
            refusal: self.refusal.map_or("", Refusal::as_str),
        };
        // The gateway's own endpoints are named by who has not proved anything yet.
        if self.route_number.is_some() || *self.route == *NO_ROUTE {
            let words = [self.refusal, self.observed].map(|refusal| refusal.map_or("", Refusal::as_str));
            self.telemetry.shapes.count(ShapeOf::request(&self.route, self.method, &self.known, words), now);
        }
        if let Some(observed) = self.observed {
            self.telemetry.worker_metrics.observed(&self.route, observed.as_str());
            self.telemetry.observed.note(&self.route, &self.known, observed.as_str(), self.time);
        }
        if let Some(trace_id) = self.trace.recorded() {
            self.telemetry.worker_metrics.exemplar(&key, trace_id, duration);
        }
        self.telemetry.worker_metrics.request_ended(key, duration);
        if let Some(word) = self.refusal.or(self.observed) {
            let explained = self.recent_refusal(word);
            self.telemetry.refusals.note(explained);
        }
        let log = &self.telemetry.log;
        if log.is_plain() {
            log.line(|line| self.write(line, duration));
        } else if log.is_on() {
            self.write_chosen(duration);
        }
        std::mem::take(&mut self.trace).finish(self, duration);
    }
}

/// Longest logged path, in bytes.
const LONGEST_PATH: usize = 200;

/// A path as it is logged: cut, in visible ASCII, and without anything that looks like a secret.
pub(crate) fn shown_path(path: &str) -> Box<str> {
    let mut shown = String::new();
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            shown.push('/');
        }
        if has_secret_shape(segment) || has_userinfo(segment) {
            shown.push_str("(secret)");
            continue;
        }
        for byte in segment.bytes() {
            if byte.is_ascii_graphic() {
                shown.push(char::from(byte));
            } else {
                shown.push_str(&format!("%{byte:02X}"));
            }
        }
        if shown.len() > LONGEST_PATH {
            break;
        }
    }
    if shown.len() > LONGEST_PATH {
        shown.truncate(LONGEST_PATH);
        shown.push_str("...");
    }
    shown.into()
}

/// True if a segment contains something like the `user:password@` of a URL, literally or percent-encoded.
fn has_userinfo(segment: &str) -> bool {
    let first = |signs: [&str; 3]| signs.iter().filter_map(|sign| segment.find(sign)).min();
    let last = |signs: [&str; 2]| signs.iter().filter_map(|sign| segment.rfind(sign)).max();
    let at = last(["@", "%40"]);
    at.is_some_and(|at| first([":", "%3A", "%3a"]).is_some_and(|colon| colon < at))
}

const NO_ROUTE: &str = "none";

/// The route name of requests without a route.
fn no_route() -> Arc<str> {
    thread_local! {
        static NAME: Arc<str> = Arc::from(NO_ROUTE);
    }
    NAME.with(Arc::clone)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// The method, from a closed set, as a metric label.
fn method_word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_line_is_short_visible_and_without_what_looks_like_a_secret() {
        assert_eq!(&*shown_path("/a/b"), "/a/b");
        assert_eq!(&*shown_path("/\u{e9}\u{9b}31m"), "/%C3%A9%C2%9B31m");
        assert_eq!(&*shown_path("/x/wgr_abc/y/eyJh.eyJi.c"), "/x/(secret)/y/(secret)");
        assert_eq!(&*shown_path("//user:hunter2@h/x%3ay%40/z@a:b"), "//(secret)/(secret)/z@a:b");
        for path in [format!("/{}", "x".repeat(5_000)), "/x".repeat(5_000), format!("/{}", "\u{e9}".repeat(300))] {
            let shown = shown_path(&path);
            assert!(shown.len() == LONGEST_PATH + 3 && shown.ends_with("..."), "{shown}");
        }
    }
}
