//! The record of a request: one log line and one set of counts, exactly once, also when the caller hangs up.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method, StatusCode, Version};
use time::OffsetDateTime;

use super::access_log::AccessLog;
use super::observed_refusals::ObservedRefusals;
use super::recent_refusals::{RecentRefusal, RecentRefusals};
use super::request_shapes::{ShapeOf, WorkerShapes};
use crate::auth::attribution::Attribution;
use crate::backend::Permit;
use crate::backend::pool::response_body::AnswerBody;
use crate::body_stream::Progress;
use crate::customer::Identifier;
use crate::explanation::Explanation;
use crate::gateway::connection::Connection;
use crate::gateway::connection::client_address::ClientAddress;
use crate::gateway::connection::taken_head::TakenHead;
use crate::gateway::error;
use crate::metrics::{RequestKey, WorkerMetrics};
use crate::refusal::Refusal;
use crate::secret::has_secret_shape;

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
    method: &'static str,
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
    /// The identities of the presented credentials. A client that asks for a token and has not authenticated itself is
    /// the one of gateway.yaml that it claims to be.
    pub(crate) known: Attribution,
    /// The pseudonym of the name that it tries to prove.
    pub(crate) attempt: Option<Box<str>>,
    /// The path of a request without a route.
    path: Option<Box<str>>,
    /// Progress of the request body.
    pub(crate) progress: Rc<Progress>,
    bytes_out: u64,
    /// The backend that was chosen, on a route with several.
    pub(crate) backend: Option<Arc<str>>,
    /// Time from sending the request to the backend to the head of its response.
    pub(crate) backend_time: Option<Duration>,
    /// The backend's permit, until the response has been read.
    pub(crate) permit: Option<Permit>,
    /// A guard that lasts until the response ends.
    pub(crate) held: Option<Box<dyn Any>>,
    complete: bool,
}

/// The attributes of a request on arrival.
pub(crate) struct Arrival {
    pub(crate) connection: Rc<Connection>,
    pub(crate) started: Instant,
    pub(crate) time: SystemTime,
    pub(crate) request_id: HeaderValue,
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
            known: Attribution::default(),
            attempt: None,
            path: None,
            progress: Rc::default(),
            bytes_out: 0,
            backend: None,
            backend_time: None,
            permit: None,
            held: None,
            complete: false,
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
            body.log_broken_off(&self.request_id);
        }
    }

    /// Notes that the response is complete. Otherwise it broke off.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
        self.permit = None;
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
            explanation: self.explanation.take(),
        }
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
        number(line, ",\"bytes_in\":", self.progress.bytes());
        number(line, ",\"bytes_out\":", self.bytes_out);
        number(line, ",\"duration_us\":", micros(duration));
        match self.backend_time {
            Some(time) => number(line, ",\"backend_us\":", micros(time)),
            None => line.extend_from_slice(b",\"backend_us\":null"),
        }
        line.extend_from_slice(if self.complete { b",\"complete\":true}" } else { b",\"complete\":false}" });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        let duration = now.saturating_duration_since(self.started);
        self.connection.request_ended(now);
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
        self.telemetry.worker_metrics.request_ended(key, duration);
        if let Some(word) = self.refusal.or(self.observed) {
            let explained = self.recent_refusal(word);
            self.telemetry.refusals.note(explained);
        }
        if self.telemetry.log.is_on() {
            self.telemetry.log.line(|line| self.write(line, duration));
        }
    }
}

/// Longest logged path, in bytes.
const LONGEST_PATH: usize = 200;

/// A path as it is logged: cut, in visible ASCII, and without anything that looks like a secret.
fn shown_path(path: &str) -> Box<str> {
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

fn text(line: &mut Vec<u8>, before: &str, value: &str) {
    let must_be_escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    line.extend_from_slice(before.as_bytes());
    // Looks at every byte, also behind one that was found: so the compiler takes many at a time.
    if !value.bytes().fold(false, |found, byte| found | must_be_escaped(byte)) {
        line.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => line.push(byte),
        }
    }
}

fn optional(line: &mut Vec<u8>, before: &str, value: Option<&str>) {
    line.extend_from_slice(before.as_bytes());
    match value {
        None => line.extend_from_slice(b"null"),
        Some(value) => {
            text(line, "\"", value);
            line.push(b'"');
        }
    }
}

fn number(line: &mut Vec<u8>, before: &str, value: u64) {
    line.extend_from_slice(before.as_bytes());
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Writes a time by RFC 3339, in UTC with milliseconds.
fn timestamp(line: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds =
        i64::try_from(since.as_secs()).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let time = seconds.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let ((year, month, day), (hour, minute, second)) = (time.to_calendar_date(), time.to_hms());
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[..4], year.unsigned_abs());
    for (at, number) in [(5, u8::from(month)), (8, day), (11, hour), (14, minute), (17, second)] {
        digits(&mut text[at..at + 2], u32::from(number));
    }
    digits(&mut text[20..23], since.subsec_millis());
    line.extend_from_slice(&text);
}

/// Fills the place with the last digits of a number.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_line_cannot_end_the_line() {
        let mut line = Vec::new();
        text(&mut line, "\"", "a\"b\\c\nd\u{1b}[31m");
        assert_eq!(String::from_utf8_lossy(&line), r#""a\"b\\c\u000ad\u001b[31m"#);
    }

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

    #[test]
    fn times_are_in_utc_with_milliseconds() {
        let mut line = Vec::new();
        timestamp(&mut line, SystemTime::UNIX_EPOCH + Duration::from_millis(1_570_733_606_449));
        assert_eq!(String::from_utf8_lossy(&line), "2019-10-10T18:53:26.449Z");
    }
}
