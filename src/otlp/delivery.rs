//! Batches on their way to the collector: sent, sent again where it asks for that, dropped where it stays away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::messages::{ExportAnswer, ExportRequest, Resource};
use super::{OtlpSettings, OtlpTransport, Span, SpanQueue};
use crate::fetch::FetchFault;
use crate::hex::hex;
use crate::log_throttle::LogThrottle;
use crate::metrics::SpanCounts;
use crate::secret::random_bytes;

/// Most spans of one batch.
const BATCH: usize = 1_024;

/// Longest time that one batch is tried again. Meanwhile the queue fills up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first pause before a batch is sent again; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);

/// Seconds between lines in the log.
const LOG_EACH: u64 = 60;

/// The task that sends.
pub(super) struct Delivery {
    settings: OtlpSettings,
    queue: Arc<SpanQueue>,
    counts: Arc<SpanCounts>,
    stopped: watch::Receiver<bool>,
    resource: Resource,
    throttle: LogThrottle,
}

/// Why a batch was not taken.
struct Rejection {
    reason: String,
    /// The least pause before it may be sent again; `None`: never.
    again: Option<Duration>,
}

impl Delivery {
    pub(super) fn new(
        settings: OtlpSettings,
        queue: Arc<SpanQueue>,
        counts: Arc<SpanCounts>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let resource = Resource::this(&hex(&random_bytes::<16>()));
        Self { settings, queue, counts, stopped, resource, throttle: LogThrottle::default() }
    }

    /// Sends until it is stopped, and then once more.
    pub(super) async fn run(mut self) {
        loop {
            let is_last = *self.stopped.borrow();
            if !is_last {
                tokio::select! {
                    () = sleep(self.settings.interval) => {}
                    () = self.queue.filled.notified() => {}
                    _ = self.stopped.changed() => {}
                }
            }
            let spans = self.queue.take();
            for batch in spans.chunks(BATCH) {
                self.deliver(batch).await;
            }
            if is_last {
                return;
            }
        }
    }

    async fn deliver(&mut self, batch: &[Span]) {
        let message = Bytes::from(ExportRequest::of(batch, &self.resource).encode_to_vec());
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            let Rejection { reason, again } = match self.send(message.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(batch.len());
                    self.counts.exported(batch.len() - rejected);
                    self.counts.dropped(rejected);
                    return;
                }
                Err(rejection) => rejection,
            };
            let wait = again.map(|least| least.max(pause));
            let may_go_on = wait.is_some_and(|wait| Instant::now() + wait < until) && !*self.stopped.borrow();
            let Some(wait) = wait.filter(|_| may_go_on) else {
                self.counts.dropped(batch.len());
                if let Some(left_out) = self.throttle.allow_each(LOG_EACH) {
                    let url = &*self.settings.url;
                    tracing::warn!(url, reason, left_out, "the collector takes no spans: they are dropped");
                }
                return;
            };
            // A stop cuts the wait short, and the batch is sent a last time.
            let _ = timeout(wait, self.stopped.wait_for(|stopped| *stopped)).await;
            pause *= 2;
        }
    }

    /// Sends a batch. Returns the number of spans that the collector took out of it.
    async fn send(&self, message: Bytes) -> Result<usize, Rejection> {
        match self.settings.transport {
            OtlpTransport::Http => self.post(message).await,
            OtlpTransport::Grpc => self.call(message).await,
        }
    }

    /// OTLP/HTTP: 429, 502, 503 and 504 may be sent again.
    async fn post(&self, message: Bytes) -> Result<usize, Rejection> {
        let OtlpSettings { fetcher, url, fields, .. } = &self.settings;
        let answer = fetcher.post(url, "application/x-protobuf", fields, message).await.map_err(unreachable)?;
        match answer.status {
            200..=299 => Ok(rejected(&answer.body)),
            status => {
                let reason = format!("it answered {status}");
                let may_repeat = matches!(status, 429 | 502..=504);
                Err(Rejection { reason, again: may_repeat.then(|| answer.retry_after.unwrap_or_default()) })
            }
        }
    }

    /// OTLP/gRPC: by these codes the call may be made again.
    async fn call(&self, message: Bytes) -> Result<usize, Rejection> {
        const AGAIN: [u32; 6] = [1, 4, 10, 11, 14, 15];
        let OtlpSettings { fetcher, url, fields, .. } = &self.settings;
        let answer = fetcher.call_grpc(url, fields, &message).await.map_err(unreachable)?;
        match answer.status {
            0 => Ok(rejected(&answer.message)),
            status => {
                let again = AGAIN.contains(&status).then(Duration::default);
                Err(Rejection { reason: format!("it answered grpc-status {status}"), again })
            }
        }
    }
}

fn unreachable(fault: FetchFault) -> Rejection {
    let is_final = matches!(fault, FetchFault::Address(_) | FetchFault::Redirect(_) | FetchFault::TooLarge);
    Rejection { reason: fault.to_string(), again: (!is_final).then(Duration::default) }
}

/// Number of spans that the collector did not take. An answer that cannot be read says nothing against them.
fn rejected(answer: &[u8]) -> usize {
    ExportAnswer::decode(answer).map_or(0, |answer| answer.rejected())
}
