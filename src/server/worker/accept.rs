//! Accepts connections, and adopts those of an earlier process, within the limits of the listener.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::Floor;
use super::open_connections::{CountedConnection, Entered};
use super::serve::{serve, serve_arrival};
use crate::server::limits::fd_limit::Descriptor;
use crate::server::upgrade::connection_handoff::Departed;
use crate::server::{Listener, Phase};

/// Pause after a failed accept, such as without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Interval of log lines about failed accepts.
const ACCEPT_SAID: Duration = Duration::from_secs(10);

/// Accept loop. Once the process drains, the backlog is served and the socket closed.
pub(super) async fn accept(
    socket: tokio::net::TcpListener,
    listener: Listener,
    floor: Floor,
    mut phase: watch::Receiver<Phase>,
) {
    let serving = phase.clone();
    let _entered = floor.open.enter();
    let mut said = None::<Instant>;
    loop {
        let now = phase.wait_for(|phase| *phase != Phase::Waiting).await.map(|phase| *phase);
        let accepted = match now {
            Ok(Phase::Running | Phase::Closing) => tokio::select! {
                accepted = socket.accept() => accepted,
                _ = phase.changed() => continue,
            },
            // What has been waiting is served: with the socket it would be reset.
            Ok(Phase::Draining) => match timeout(Duration::ZERO, socket.accept()).await {
                Ok(accepted) => accepted,
                Err(_) => return,
            },
            _ => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= ACCEPT_SAID) {
                    tracing::warn!(%error, "cannot accept a connection");
                    said = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Some(counted) = count(&listener, &floor) {
            let (listener, floor, serving) = (listener.clone(), floor.clone(), serving.clone());
            tokio::task::spawn_local(async move {
                let reason = serve(stream, address, &listener, &floor, serving).await;
                floor.gateway.worker_metrics().connection_closed(reason);
                drop(counted);
            });
        }
    }
}

/// Serves connections that an earlier process accepted.
pub(super) async fn adopt(
    mut arrivals: mpsc::UnboundedReceiver<Departed>,
    listeners: Vec<Listener>,
    floor: Floor,
    serving: watch::Receiver<Phase>,
) {
    while let Some(Departed(departure, stream)) = arrivals.recv().await {
        let Some(listener) = listeners.iter().find(|listener| listener.address == departure.listener) else {
            continue;
        };
        let Some(counted) = count(listener, &floor) else { continue };
        let (listener, floor, serving) = (listener.clone(), floor.clone(), serving.clone());
        tokio::task::spawn_local(async move {
            let reason = serve_arrival(&departure, stream, &listener, &floor, serving).await;
            floor.gateway.worker_metrics().connection_closed(reason);
            drop(counted);
        });
    }
}

/// Counts a connection against all limits; `None` above one.
fn count(listener: &Listener, floor: &Floor) -> Option<(Entered, CountedConnection, Descriptor)> {
    let worker_metrics = floor.gateway.worker_metrics();
    worker_metrics.connection_opened();
    let Some(counted) = CountedConnection::one_of(&listener.open, listener.bounds.now().connections) else {
        worker_metrics.connection_closed("too_many");
        return None;
    };
    if floor.gateway.is_short_of_memory() {
        worker_metrics.connection_closed("memory");
        return None;
    }
    let Some(descriptor) = Descriptor::take() else {
        worker_metrics.connection_closed("descriptors");
        return None;
    };
    Some((floor.open.enter(), counted, descriptor))
}
