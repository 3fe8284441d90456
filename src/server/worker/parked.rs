//! Wait of an idle HTTP/1.1 connection without the buffers of the HTTP library, which are most of its memory.

use std::future::poll_fn;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::gateway::connection::Connection;
use crate::metrics::WorkerMetrics;
use crate::server::Phase;
use crate::server::upgrade::connection_handoff::Leaving;

/// Waits until the caller sends something or leaves, until the idle timeout is over, or until the process ends or is
/// succeeded. Nothing is read or decided here: that is done as for any other connection then.
pub(super) async fn parked<Stream: Leaving>(
    stream: &Stream,
    connection: &Connection,
    phase: &mut watch::Receiver<Phase>,
    metrics: &WorkerMetrics,
) {
    let _parked = metrics.connection_parked();
    let end = connection.deadline().map_or_else(Instant::now, |(end, _)| Instant::from_std(end));
    tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
        _ = poll_fn(|context| stream.poll_readable(context)) => {}
        () = sleep_until(end) => {}
    }
}
