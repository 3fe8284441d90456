//! A worker: one thread with its own runtime, listener sockets, backend connections and counters.

mod accept;
mod open_connections;
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

use super::handshake_scheduler::Turns;
use super::limits::fd_limit::Descriptor;
use super::upgrade::connection_handoff::Departed;
use super::{Listener, Phase};
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::gateway::{Gateway, Shared};
use crate::process_log;
use accept::{accept, adopt};
use open_connections::Open;

/// How often a worker says that it turns.
pub const PULSE: Duration = Duration::from_millis(500);

/// What a worker starts with.
pub struct Worker {
    /// Its sockets and what is known of them.
    pub listeners: Vec<(TcpListener, Listener)>,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Where the access log goes.
    pub log: Option<AccessLogWriter>,
    /// How far the process is.
    pub phase: watch::Receiver<Phase>,
    /// Counts while it turns.
    pub pulse: Arc<AtomicU64>,
    /// Connections that an earlier process has sent.
    pub arrivals: mpsc::UnboundedReceiver<Departed>,
    /// Where connections go when another process has taken over.
    pub departures: mpsc::UnboundedSender<Departed>,
}

/// What the connections of a worker share.
#[derive(Clone)]
struct Floor {
    gateway: Rc<Gateway>,
    open: Rc<Open>,
    departures: mpsc::UnboundedSender<Departed>,
    turns: Rc<Turns>,
}

impl Worker {
    /// Starts its thread, which ends when all is drained.
    ///
    /// # Errors
    /// Where no thread can be had.
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
                turns: Rc::new(Turns::new()),
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

/// A worker that panics outside of its connections takes the process with it: a restart serves all callers again,
/// half a process does not.
struct DiesLoudly;

impl Drop for DiesLoudly {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a worker has failed: exiting, so that whoever watches this process restarts it");
            process_log::flush();
            std::process::exit(1);
        }
    }
}
