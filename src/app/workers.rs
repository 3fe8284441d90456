//! Worker threads: listeners in, running workers out.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

use crate::gateway::Shared;
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::server::upgrade::connection_handoff::Departed;
use crate::server::worker::Worker;
use crate::server::{Listener, Phase};

/// Resources that all workers get.
pub(super) struct Equipment {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Option<AccessLogWriter>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Connections that go over to the next process.
    pub(super) departures: mpsc::UnboundedSender<Departed>,
}

/// The running workers, in order.
pub(super) struct Workers {
    pub(super) threads: Vec<JoinHandle<io::Result<()>>>,
    /// The heartbeat of each.
    pub(super) pulses: Vec<Arc<AtomicU64>>,
    /// The way of connections from an earlier process to each.
    pub(super) arrivals: Vec<mpsc::UnboundedSender<Departed>>,
}

impl Workers {
    /// Starts one worker for each list of listeners.
    ///
    /// # Errors
    /// The machine gives no threads.
    pub(super) fn start(per_worker: Vec<Vec<(TcpListener, Listener)>>, equipment: &Equipment) -> anyhow::Result<Self> {
        let mut workers = Self { threads: Vec::new(), pulses: Vec::new(), arrivals: Vec::new() };
        for (number, listeners) in per_worker.into_iter().enumerate() {
            let (arrival, arrivals) = mpsc::unbounded_channel();
            let pulse = Arc::<AtomicU64>::default();
            workers.arrivals.push(arrival);
            workers.pulses.push(Arc::clone(&pulse));
            let worker = Worker {
                listeners,
                shared: Arc::clone(&equipment.shared),
                log: equipment.log.clone(),
                phase: equipment.phase.clone(),
                pulse,
                arrivals,
                departures: equipment.departures.clone(),
            };
            workers.threads.push(worker.start(number).context("cannot start a worker")?);
        }
        Ok(workers)
    }
}
