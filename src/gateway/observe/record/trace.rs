//! The trace of one request: a span of the exchange, one of each check, one of the backend.
//!
//! Names of customers, header fields, queries and paths are in none of them: only words of closed sets, configured names
//! and numbers.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

use super::Record;
use crate::gateway::error;
use crate::otlp::{Recording, Span, SpanKind, SpanValue};
use crate::refusal::Refusal;
use crate::secret::random_bytes;
use crate::trace_context::{TRACEPARENT, TRACESTATE, TraceParent, has_valid_state};

/// Most spans of one request.
const MOST: usize = 64;

/// A worker's beginnings of traces.
#[derive(Debug)]
pub(crate) struct Tracer {
    recording: Recording,
    /// State of the generator of ids.
    random: Cell<u64>,
}

impl Tracer {
    /// For a new worker.
    pub(crate) fn new(recording: Recording) -> Self {
        Self { recording, random: Cell::new(u64::from_be_bytes(random_bytes())) }
    }

    /// Begins the trace of a request with these fields. What a trusted proxy has decided about recording holds; what
    /// anybody else has decided does not: callers drive no cost, and hide nothing.
    pub(crate) fn begin(&self, headers: &HeaderMap, is_trusted: bool) -> RequestTrace {
        let parent = TraceParent::of(headers);
        let is_sampled = match parent {
            Some(parent) if is_trusted => parent.sampled,
            _ => self.is_chosen(),
        };
        let trace_id = match parent {
            Some(parent) => parent.trace_id,
            None => u128::from(self.id()) << 64 | u128::from(self.id()),
        };
        let id = self.id();
        let keeps_state = parent.is_some() && has_valid_state(headers);
        let parent = parent.map_or(0, |parent| parent.span_id);
        let spans = is_sampled.then(|| Spans { recording: self.recording.clone(), steps: Vec::with_capacity(8) });
        RequestTrace(Some(Box::new(Context { trace_id, parent, id, keeps_state, backend: 0, spans })))
    }

    fn is_chosen(&self) -> bool {
        // 53 bits are what a float has.
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        share < self.recording.sample
    }

    /// A new id, never zero.
    fn id(&self) -> u64 {
        self.next().max(1)
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        mixed(state)
    }
}

fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The trace of a request; nothing while `telemetry` is off.
#[derive(Debug, Default)]
pub(crate) struct RequestTrace(Option<Box<Context>>);

/// The place of a request in its trace.
#[derive(Debug)]
struct Context {
    trace_id: u128,
    /// The caller's span; 0 for none.
    parent: u64,
    /// The span of the exchange.
    id: u64,
    /// True if the caller's `tracestate` goes on to the backend.
    keeps_state: bool,
    /// The span of the backend; 0 before there is one.
    backend: u64,
    /// `None` where the request is not recorded.
    spans: Option<Spans>,
}

#[derive(Debug)]
struct Spans {
    recording: Recording,
    steps: Vec<Step>,
}

/// One step of a request.
#[derive(Debug)]
struct Step {
    name: &'static str,
    /// True for what another server is asked within a check.
    is_lookup: bool,
    kind: SpanKind,
    begun: Instant,
    ended: Option<Instant>,
    refusal: Option<Refusal>,
    attributes: Vec<(&'static str, SpanValue)>,
    error: Option<&'static str>,
}

impl RequestTrace {
    /// Begins a check; the one before has passed.
    pub(crate) fn step(&mut self, name: &'static str) {
        if let Some(spans) = self.spans() {
            spans.begin(name, SpanKind::Internal);
        }
    }

    /// Begins what another server is asked within the check.
    pub(crate) fn lookup(&mut self, name: &'static str) {
        if let Some(spans) = self.spans() {
            let step = Step { is_lookup: true, ..Step::new(name, SpanKind::Client) };
            spans.push(step);
        }
    }

    /// It has answered.
    pub(crate) fn looked_up(&mut self) {
        let step = self.spans().and_then(|spans| spans.steps.last_mut());
        if let Some(step) = step.filter(|step| step.is_lookup) {
            step.ended = Some(Instant::now());
        }
    }

    /// The request is refused by the check that runs.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        if let Some(spans) = self.spans() {
            let open = spans.steps.iter_mut().filter(|step| step.ended.is_none());
            open.for_each(|step| step.refusal = Some(refusal));
            spans.end_open(Instant::now());
        }
    }

    /// Writes the fields by which a backend goes on with this trace. Without `telemetry`, those of the caller pass.
    pub(crate) fn write(&mut self, headers: &mut HeaderMap) {
        let Some(context) = &mut self.0 else { return };
        // Of the same trace, and no other span has it.
        context.backend = mixed(context.id).max(1);
        let sampled = context.spans.is_some();
        let value = TraceParent { trace_id: context.trace_id, span_id: context.backend, sampled }.value();
        headers.insert(TRACEPARENT, value);
        if !context.keeps_state {
            headers.remove(TRACESTATE);
        }
    }

    /// Begins the span of the backend.
    pub(crate) fn asks(&mut self, method: &'static str, backend: &Arc<str>) {
        if let Some(spans) = self.spans() {
            let step = spans.begin("backend", SpanKind::Client);
            step.attributes = vec![
                ("http.request.method", method_attribute(method)),
                ("wicketgate.backend", SpanValue::Name(Arc::clone(backend))),
            ];
        }
    }

    /// The backend has answered, with this status from this server, or has failed; it was asked again so many times.
    pub(crate) fn answered(&mut self, resent: u32, outcome: Result<(u16, &str), &'static str>) {
        let Some(step) = self.spans().and_then(|spans| spans.steps.last_mut()) else { return };
        if resent > 0 {
            step.attributes.push(("http.request.resend_count", SpanValue::Number(i64::from(resent))));
        }
        match outcome {
            Ok((status, server)) => {
                step.attributes.push(("http.response.status_code", SpanValue::Number(i64::from(status))));
                step.attributes.extend(server_attributes(server));
                // By the semantic conventions, a client's span has failed from 400 on.
                step.error = (status >= 400).then_some("status");
            }
            Err(kind) => step.error = Some(kind),
        }
        if let Some(kind) = step.error {
            step.attributes.push(("error.type", SpanValue::Word(kind)));
        }
    }

    /// The trace, where it is recorded.
    pub(super) fn recorded(&self) -> Option<u128> {
        self.0.as_ref().filter(|context| context.spans.is_some()).map(|context| context.trace_id)
    }

    /// Ends the trace and hands over its spans.
    pub(super) fn finish(&mut self, record: &Record, duration: Duration) {
        let Some(context) = self.0.take() else { return };
        let Context { trace_id, parent, id, backend, spans, .. } = *context;
        let Some(mut spans) = spans else { return };
        spans.end_open(record.started + duration);
        let clock = |at: Instant| nanos(record.time, at.saturating_duration_since(record.started));
        let mut finished = Vec::with_capacity(spans.steps.len() + 1);
        finished.push(Span {
            trace_id,
            id,
            parent,
            name: format!("{} {}", record.method, record.route).into(),
            kind: SpanKind::Server,
            start: clock(record.started),
            end: nanos(record.time, duration),
            attributes: attributes_of(record),
            error: failure(record.status, record.refusal),
        });
        let mut above = id;
        for (step, number) in spans.steps.into_iter().zip(1..) {
            // Of one trace and different numbers: different ids.
            let own = if step.name == "backend" { backend } else { mixed(id.wrapping_add(number)).max(1) };
            let parent = if step.is_lookup { above } else { id };
            if !step.is_lookup {
                above = own;
            }
            finished.push(step.span(record.status, &clock, (trace_id, own, parent)));
        }
        spans.recording.queue.add(finished);
    }

    fn spans(&mut self) -> Option<&mut Spans> {
        self.0.as_mut()?.spans.as_mut()
    }
}

impl Spans {
    fn begin(&mut self, name: &'static str, kind: SpanKind) -> &mut Step {
        self.end_open(Instant::now());
        self.push(Step::new(name, kind))
    }

    fn push(&mut self, step: Step) -> &mut Step {
        // Lookups that come again and again stay within bounds.
        if self.steps.len() >= MOST {
            self.steps.pop();
        }
        self.steps.push(step);
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn end_open(&mut self, now: Instant) {
        self.steps.iter_mut().filter(|step| step.ended.is_none()).for_each(|step| step.ended = Some(now));
    }
}

impl Step {
    fn new(name: &'static str, kind: SpanKind) -> Self {
        Self {
            name,
            is_lookup: false,
            kind,
            begun: Instant::now(),
            ended: None,
            refusal: None,
            attributes: Vec::new(),
            error: None,
        }
    }

    fn span(self, status: u16, clock: &impl Fn(Instant) -> u64, (trace_id, id, parent): (u128, u64, u64)) -> Span {
        let mut attributes = self.attributes;
        if let Some(refusal) = self.refusal {
            attributes.push(("wicketgate.refusal", SpanValue::Word(refusal.as_str())));
        }
        Span {
            trace_id,
            id,
            parent,
            name: self.name.into(),
            kind: self.kind,
            start: clock(self.begun),
            end: clock(self.ended.unwrap_or(self.begun)),
            attributes,
            error: self.error.or_else(|| failure(status, Some(self.refusal?))),
        }
    }
}

/// Attributes of the exchange, by the semantic conventions for HTTP servers, and by the words of log and metrics.
fn attributes_of(record: &Record) -> Vec<(&'static str, SpanValue)> {
    let word = SpanValue::Word;
    let mut attributes = vec![
        ("http.request.method", method_attribute(record.method)),
        ("http.response.status_code", SpanValue::Number(i64::from(record.status))),
        ("http.route", SpanValue::Name(Arc::clone(&record.route))),
        ("url.scheme", word(if record.source.secure { "https" } else { "http" })),
        ("network.protocol.name", word("http")),
        ("network.protocol.version", word(record.protocol.trim_start_matches("HTTP/"))),
    ];
    if let Some(refusal) = record.refusal {
        attributes.push(("wicketgate.refusal", word(refusal.as_str())));
        attributes.push(("wicketgate.code", word(error::row(refusal).code)));
    }
    if let Some(observed) = record.observed {
        attributes.push(("wicketgate.observed", word(observed.as_str())));
    }
    if let Some(client) = &record.known.client {
        attributes.push(("wicketgate.client", SpanValue::Name(Arc::clone(client))));
    }
    if !record.complete {
        attributes.push(("wicketgate.complete", word("false")));
    }
    if let Some(kind) = failure(record.status, record.refusal) {
        attributes.push(("error.type", word(kind)));
    }
    attributes
}

/// Host and port of a server.
fn server_attributes(server: &str) -> impl Iterator<Item = (&'static str, SpanValue)> {
    let split = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = split.map_or((server, None), |(host, port)| (host, Some(port)));
    let port = port.map(|port| ("server.port", SpanValue::Number(port)));
    std::iter::once(("server.address", SpanValue::Name(host.into()))).chain(port)
}

/// Why a span counts as failed. By the semantic conventions, what a caller did wrong is no failure of the server.
fn failure(status: u16, refusal: Option<Refusal>) -> Option<&'static str> {
    (status >= 500).then(|| refusal.map_or("status", Refusal::as_str))
}

/// `http.request.method`: `_OTHER` stands for what is not known.
fn method_attribute(method: &'static str) -> SpanValue {
    SpanValue::Word(if method == "other" { "_OTHER" } else { method })
}

fn nanos(time: SystemTime, later: Duration) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default() + later;
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
