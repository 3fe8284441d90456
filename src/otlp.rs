//! Traces for a collector, by OTLP: spans wait in a bounded queue and are sent in batches, by HTTP or gRPC. Workers never
//! wait for the collector; what it does not take in time is dropped and counted.

mod delivery;
mod messages;
mod queue;
mod span;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use delivery::Delivery;
pub use queue::SpanQueue;
pub use span::{Span, SpanKind, SpanValue};

/// How spans reach the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpTransport {
    /// `POST` of binary protobuf.
    Http,
    /// A unary call of `TraceService/Export` by HTTP/2.
    Grpc,
}

/// Settings of the export.
#[derive(Debug)]
pub struct OtlpSettings {
    /// The whole address that batches are sent to.
    pub url: String,
    /// The transport.
    pub transport: OtlpTransport,
    /// Share of the requests that are recorded, from 0 to 1.
    pub sample: f64,
    /// Longest time that a span waits to be sent.
    pub interval: Duration,
    /// Header fields of each batch, such as a key of the collector.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The client.
    pub fetcher: Fetcher,
}

/// What records spans: the place for them, and which requests are recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Spans that wait to be sent.
    pub queue: Arc<SpanQueue>,
    /// Share of the requests that are recorded, from 0 to 1.
    pub sample: f64,
}

/// The running export.
#[derive(Debug)]
pub struct Exporter {
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

/// Starts the export on `control`.
pub fn start(settings: OtlpSettings, metrics: &Metrics, control: &Handle) -> (Recording, Exporter) {
    let counts = Arc::clone(&metrics.spans);
    let queue = Arc::new(SpanQueue::new(Arc::clone(&counts)));
    let recording = Recording { queue: Arc::clone(&queue), sample: settings.sample };
    let (stop, stopped) = watch::channel(false);
    let running = control.spawn(Delivery::new(settings, queue, counts, stopped).run());
    (recording, Exporter { stop, running })
}

impl Exporter {
    /// Sends what waits, and ends; at most for `longest`.
    pub async fn finish(self, longest: Duration) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(longest, self.running).await;
    }
}
