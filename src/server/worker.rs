//! Worker: one thread with its own runtime, listener sockets, backend connections and counters.

mod accept;
mod open_connections;
mod parked;
mod serve;
mod serve_http;

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::handshake_scheduler::HandshakeScheduler;
use super::limits::fd_limit::Descriptor;
use super::upgrade::connection_handoff::Departed;
use super::{Listener, Phase};
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::gateway::{Gateway, Shared};
use crate::process_log;
use accept::{accept, adopt};
use open_connections::Open;

/// Interval of a worker's heartbeat.
pub const PULSE: Duration = Duration::from_millis(500);

/// Everything that a worker is started with.
pub struct Worker {
    /// Sockets with their listeners.
    pub listeners: Vec<(TcpListener, Listener)>,
    /// State that all workers share.
    pub shared: Arc<Shared>,
    /// Access log.
    pub log: Option<AccessLogWriter>,
    /// Phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// Heartbeat counter.
    pub pulse: Arc<AtomicU64>,
    /// Connections from an earlier process.
    pub arrivals: mpsc::UnboundedReceiver<Departed>,
    /// Connections to the process that has taken over.
    pub departures: mpsc::UnboundedSender<Departed>,
}

/// Context of all connections of a worker.
#[derive(Clone)]
struct Floor {
    gateway: Rc<Gateway>,
    open: Rc<Open>,
    departures: mpsc::UnboundedSender<Departed>,
    turns: Rc<HandshakeScheduler>,
}

impl Worker {
    /// Starts the thread, which ends when all connections have drained.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(self, number: usize) -> io::Result<JoinHandle<io::Result<()>>> {
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _watch = DiesLoudly;
            self.run()
        })
    }

    fn run(self) -> io::Result<()> {
        Descriptor::announce();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(2).build_local(Default::default())?;
        runtime.block_on(async move {
            let gateway = Rc::new(Gateway::new(self.shared, self.log));
            let open = Rc::new(Open::default());
            let chores = Rc::clone(&gateway);
            tokio::task::spawn_local(async move { chores.run().await });
            let pulse = self.pulse;
            tokio::task::spawn_local(async move {
                loop {
                    pulse.fetch_add(1, Ordering::Relaxed);
                    sleep(PULSE).await;
                }
            });
            let listeners: Vec<Listener> = self.listeners.iter().map(|(_, listener)| listener.clone()).collect();
            let floor = Floor {
                gateway: Rc::clone(&gateway),
                open: Rc::clone(&open),
                departures: self.departures,
                turns: Rc::new(HandshakeScheduler::new()),
            };
            for (socket, listener) in self.listeners {
                let socket = tokio::net::TcpListener::from_std(socket)?;
                tokio::task::spawn_local(accept(socket, listener, floor.clone(), self.phase.clone()));
            }
            tokio::task::spawn_local(adopt(self.arrivals, listeners, floor, self.phase.clone()));
            let mut phase = self.phase;
            let _ = phase.wait_for(|phase| !matches!(phase, Phase::Waiting | Phase::Running | Phase::Closing)).await;
            gateway.drains();
            tokio::select! {
                () = open.drained() => {}
                _ = phase.wait_for(|phase| *phase == Phase::Stopping) => {}
            }
            gateway.flush();
            Ok(())
        })
    }
}

/// Exits the process when a worker panics outside of its connections: a restart serves all callers again, half a
/// process does not.
struct DiesLoudly;

impl Drop for DiesLoudly {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a worker panicked: exiting, so that the service manager restarts the process");
            process_log::flush();
            std::process::exit(1);
        }
    }
}
