//! Build everything, bind everything, run, drain.

mod admin_sockets;
mod housekeeping;
mod listen_sockets;
mod logs;
mod notes;
pub mod startup_check;
mod state_owner;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, watch};

use crate::audit::Audit;
use crate::config::raw::{self, Raw};
use crate::config::{Config, Draft};
use crate::gateway::Shared;
use crate::gateway::endpoints::password_hashing::PasswordHashing;
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::metrics::{BucketBounds, Metrics};
use crate::otlp::{self, Exporter};
use crate::policy::Lasting;
use crate::policy_change::PolicyChange;
use crate::reload::{self, Plan, ReloadFault, Reloadable, Reloader};
use crate::server::admin::admin_socket::Wish;
use crate::server::admin::admin_socket::socket_file::{BoundSocket, socket_path};
use crate::server::tls::ListenerTls;
use crate::server::upgrade::connection_handoff::Departed;
use crate::server::upgrade::lock_owner::Owner;
use crate::server::upgrade::{HandoverFault, PreviousProcess, Sockets, Successor};
use crate::server::worker::PULSE;
use crate::server::{Listener, Phase};
use crate::state::{State, StateSettings};
use crate::systemd::{Pulse, ServiceManager};
use admin_sockets::AdminSockets;
use listen_sockets::Places;
pub use logs::start_logging;
use logs::{access_log, process_event};
use notes::Notes;
use state_owner::StateOwner;
use workers::{Equipment, Workers};

/// Time that requests already in their checks get to finish their writes, before the state is handed over.
const SETTLE: Duration = Duration::from_millis(20);

/// Longest wait of a successor for logins and logouts that this process has begun.
const QUIET: Duration = Duration::from_secs(3);

/// Longest wait for a shared store before callers are let in all the same. Where it is down, it is down for the
/// predecessor too.
const READY: Duration = Duration::from_secs(2);

/// The running process.
pub struct App {
    /// The parts that a reload replaces.
    reloader: Reloader,
    /// The addresses of the listeners.
    pub addresses: Vec<SocketAddr>,
    /// The operators' address.
    pub admin: SocketAddr,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    /// The heartbeat of each worker.
    pulses: Vec<Arc<AtomicU64>>,
    /// The operators' socket, removed at the end.
    socket: BoundSocket,
    /// All sockets, for the process that takes over.
    sockets: Sockets,
    /// Connections that go over to it.
    departures: mpsc::UnboundedReceiver<Departed>,
    /// This process, as it stands beside the state.
    owner: StateOwner,
    /// The process that takes over.
    successor: Mutex<Option<Successor>>,
    /// What outlives the process beside the state.
    notes: Notes,
    wishes: tokio::sync::Mutex<mpsc::Receiver<Wish>>,
    log: Option<AccessLogWriter>,
    /// The export of traces.
    exporter: Option<Exporter>,
    control: Runtime,
}

impl App {
    /// Reads all that the configuration of `file` names, binds all addresses and starts the workers. `given` are sockets that
    /// are open already. `control` runs everything that is not a request.
    ///
    /// # Errors
    /// A fault of the configuration, or of the machine.
    pub fn start(file: &Path, draft: Draft, given: Sockets, control: Runtime) -> anyhow::Result<Self> {
        Self::begin(file, draft, given, control, |socket, own| match Owner::at(socket) {
            Ok(None) => Ok(None),
            Ok(Some(other)) => bail!("{}", other.refusal(own, socket)),
            Err(error) => bail!("{}", startup_check::silent(socket, &error)),
        })
    }

    /// The same, taking over from the process that runs with this configuration, if there is one. It goes on until
    /// nothing can go wrong here any more.
    ///
    /// # Errors
    /// As [`App::start`]; then the other process goes on.
    pub fn upgrade(file: &Path, draft: Draft, given: Sockets, control: Runtime) -> anyhow::Result<Self> {
        Self::begin(file, draft, given, control, |socket, own| {
            let met = PreviousProcess::meet(socket, own)?;
            if met.is_none() {
                tracing::info!(socket = %socket.display(), "nobody runs here to take over from: starting as without --upgrade");
            }
            Ok(met)
        })
    }

    fn begin(
        file: &Path,
        draft: Draft,
        given: Sockets,
        control: Runtime,
        meet: impl FnOnce(&Path, &Owner) -> anyhow::Result<Option<(PreviousProcess, Sockets)>>,
    ) -> anyhow::Result<Self> {
        let lasting = Lasting::default();
        let plan = read_plan(draft, &lasting, &control)?;
        let raw = plan.config.raw().clone();
        let owner = this_process(file, &raw);
        let socket = socket_path(&plan.config);
        let (predecessor, given) = match meet(&socket, &owner)? {
            Some((predecessor, sockets)) => (Some(predecessor), sockets),
            None => (None, given),
        };
        let problems = startup_check::directories(&plan);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let metrics = Arc::new(Metrics::new(BucketBounds::configured(raw.metrics.buckets.as_deref())));
        reload::note_certificates(&metrics, &plan.tls);
        let mut places = Places::new(given, raw.workers.unwrap_or_else(cores));
        let listeners = listen(&mut places, &plan.config, plan.tls)?;
        let admin = places.admin(&plan.config, raw.admin.address)?;
        places.nothing_is_left(predecessor.is_some())?;
        // From here on what can go wrong is the state, and only it is waited for.
        if let Some(predecessor) = &predecessor {
            predecessor.give()?;
        }
        let (owner, state) = open_state(owner, plan.state, &plan.config, &metrics, &control)?;
        if predecessor.is_some() {
            control.block_on(state.is_ready(READY));
        }
        // A socket in the file system is made last: nothing is left of a start that fails.
        let operators = places.operators(&plan.config, &socket)?;
        let notes = Notes::at(&plan.config.data_directory());
        notes.read_uses(&lasting);
        let audit = Audit::start(&plan.config.data_directory()).context("cannot start the audit log")?;
        let hashing = PasswordHashing::default();
        let mut shared = Shared::new(plan.policy, lasting, Arc::clone(&metrics), hashing, state, audit);
        let started = plan.traces.map(|settings| otlp::start(settings, &metrics, control.handle()));
        let (recording, exporter) = started.unzip();
        (shared.recording, shared.listeners) = (recording, std::mem::take(&mut places.views).into());
        let shared = Arc::new(shared);
        notes.read_observed(&shared);
        let log = access_log(&plan.config, &metrics)?;
        let (phase, watched) = watch::channel(Phase::Waiting);
        let (departures, departed) = mpsc::unbounded_channel();
        let equipment = Equipment { shared: Arc::clone(&shared), log, phase: watched.clone(), departures };
        let Workers { threads, pulses, arrivals } = Workers::start(places.per_worker, &equipment)?;
        let takes_over = predecessor.is_some();
        if let Some(predecessor) = predecessor {
            take_over(predecessor, arrivals)?;
        }
        phase.send_replace(Phase::Running);
        let admin_address = admin.local_addr()?;
        shared.audit.note(process_event("start", &shared).with("takes_over", takes_over));
        let sockets = AdminSockets { tcp: admin, unix: operators };
        let wishes = sockets.serve(&control, &owner.owner, &shared, watched)?;
        housekeeping::start(&control, &shared, notes.clone(), owner.clone());
        Ok(Self {
            reloader: Reloader::new(raw, &plan.config, shared, listeners, control.handle()),
            addresses: places.addresses,
            admin: admin_address,
            phase,
            workers: threads,
            pulses,
            socket: BoundSocket::at(socket),
            sockets: places.held,
            departures: departed,
            owner,
            successor: Mutex::default(),
            notes,
            log: equipment.log,
            exporter,
            wishes: wishes.into(),
            control,
        })
    }

    /// The configuration that it was started with, without routes, clients and API keys.
    pub fn configuration(&self) -> &Raw {
        self.reloader.started_with()
    }

    /// The state shared by all workers.
    pub fn shared(&self) -> &Shared {
        self.reloader.shared()
    }

    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// The reason why the configuration in force stays.
    pub async fn reload(&self) -> Result<(), ReloadFault> {
        self.reloader.reload().await
    }

    /// The keys of the file that differ from what runs here and that no reload takes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn needs_restart(&self) -> Result<Vec<&'static str>, String> {
        self.reloader.needs_restart().await
    }

    /// Opens the files of the logs again: they may have been renamed.
    pub fn reopen_logs(&self) {
        self.log.iter().for_each(AccessLogWriter::reopen);
        self.shared().audit.reopen();
    }

    /// What the configuration of `file` would change, the dangerous changes first; with `replays` also which calls of
    /// the last hour it would refuse.
    pub fn preview(
        &self,
        file: PathBuf,
        replays: bool,
    ) -> impl Future<Output = Result<Vec<PolicyChange>, String>> + Send + 'static {
        self.reloader.preview(file, replays)
    }

    /// Waits until somebody wishes something of the process as a whole, or a file has changed that the configuration
    /// names: `None`.
    pub async fn wish(&self) -> Option<Wish> {
        let mut wishes = self.wishes.lock().await;
        tokio::select! {
            Some(wish) = wishes.recv() => Some(wish),
            () = self.reloader.files_have_changed() => None,
        }
    }

    /// Lets another process take over; its id. Then this one only has to end, see [`App::drain`].
    ///
    /// # Errors
    /// The reason; this process goes on.
    pub async fn hand_over(&self, mut successor: Successor) -> Result<u32, HandoverFault> {
        successor.prepare(&self.sockets).await?;
        self.phase.send_replace(Phase::Waiting);
        // Requests whose head has come are on their way through the checks, which may write too.
        tokio::time::sleep(SETTLE).await;
        self.shared().is_quiet(QUIET).await;
        let release = self.shared().state.release();
        self.notes.write(self.shared());
        let id = match successor.given().await {
            Ok(id) => id,
            Err(fault) => {
                release.take_back();
                self.owner.note();
                self.phase.send_replace(Phase::Running);
                return Err(fault);
            }
        };
        release.give();
        *self.successor.lock().unwrap_or_else(PoisonError::into_inner) = Some(successor);
        Ok(id)
    }

    /// Tells the service manager now and then that all workers turn, for as long as they do and it wants to know.
    pub fn keep_alive(&self, manager: &ServiceManager) {
        let Some(patience) = manager.patience() else { return };
        let (manager, pulses) = (manager.clone(), self.pulses.clone());
        let pause = (patience / 3).max(2 * PULSE);
        self.control.spawn(async move {
            let mut pulse = Pulse::default();
            loop {
                match pulse.check(pulses.iter().map(|count| count.load(Ordering::Relaxed))) {
                    Ok(()) => manager.is_alive(),
                    Err(worker) => tracing::error!(worker, "worker event loop stalled"),
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// The runtime for everything that is not a request.
    pub fn control(&self) -> Handle {
        self.control.handle().clone()
    }

    /// Stops accepting, lets what is in flight end within the grace time, then stops. Where another process has taken
    /// over, connections go there.
    ///
    /// # Errors
    /// A worker failed.
    pub fn drain(self) -> anyhow::Result<()> {
        let raw::Shutdown { grace, delay } = self.configuration().shutdown;
        let successor = self.successor.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_succeeded = successor.is_some();
        if !is_succeeded && !delay.is_zero() {
            tracing::info!(%delay, "closing: connections are still accepted, and end with their next answer");
            self.phase.send_replace(Phase::Closing);
            self.control.block_on(tokio::time::sleep(delay.get()));
        }
        tracing::info!(%grace, handover = is_succeeded, "draining");
        // Connections over which nothing could be decided any more must have ended before that.
        let decides =
            Some(&self.reloader.shared().state).filter(|_| is_succeeded).and_then(State::decides_after_handover);
        self.reloader.shared().drains(grace.get(), decides.unwrap_or(Duration::MAX));
        self.phase.send_replace(if is_succeeded { Phase::Leaving } else { Phase::Draining });
        // Whoever still waits on these sockets is another process's now, or nobody's.
        drop(self.sockets);
        let phase = self.phase.clone();
        self.control.spawn(async move {
            tokio::time::sleep(grace.get()).await;
            tracing::warn!("shutdown.grace is over: closing the connections that are left");
            phase.send_replace(Phase::Stopping);
        });
        let departing = successor.map(|successor| self.control.spawn(depart(successor, self.departures)));
        for worker in self.workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?.context("a worker failed")?;
        }
        if let Some(departing) = departing {
            let _ = self.control.block_on(departing);
        } else {
            self.notes.write(self.reloader.shared());
            self.socket.remove();
            self.owner.forget();
        }
        self.reloader.shared().state.close();
        self.reloader
            .shared()
            .audit
            .note(process_event("stop", self.reloader.shared()).with("handed_over", is_succeeded));
        self.reloader.shared().audit.flush(Duration::from_secs(1));
        if let Some(log) = &self.log {
            log.flush(Duration::from_secs(1));
        }
        if let Some(exporter) = self.exporter {
            self.control.block_on(exporter.finish(Duration::from_secs(1)));
        }
        self.control.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
        Ok(())
    }
}

/// Reads all that the configuration names, and begins name lookups, health checks and fetches of issuer keys.
fn read_plan(draft: Draft, lasting: &Lasting, control: &Runtime) -> anyhow::Result<Plan> {
    let plan = Plan::of(draft, lasting)?;
    plan.warn();
    control.block_on(reload::look_around(&plan.policy, lasting, control.handle()));
    Ok(plan)
}

/// This process, as others see it.
fn this_process(file: &Path, raw: &Raw) -> Owner {
    let mut owner = Owner::this(file);
    owner.listens = raw.listen.iter().map(|listen| listen.address).chain([raw.admin.address]).collect();
    owner
}

/// Opens the state, and notes beside it that this process has it.
fn open_state(
    owner: Owner,
    settings: StateSettings,
    config: &Config,
    metrics: &Metrics,
    control: &Runtime,
) -> anyhow::Result<(StateOwner, State)> {
    let now = u64::try_from(unix_seconds()).unwrap_or_default();
    let owner = StateOwner { directory: settings.directory().map(Path::to_owned), owner };
    let state = State::open(settings, Arc::clone(&metrics.state), control.handle(), now)
        .map_err(|fault| owner.explain(config, fault))?;
    owner.note();
    Ok((owner, state))
}

/// Tells the process before this one that requests are served here; its connections go to the workers in turn.
fn take_over(predecessor: PreviousProcess, workers: Vec<mpsc::UnboundedSender<Departed>>) -> anyhow::Result<()> {
    let mut next = workers.into_iter().cycle();
    predecessor.serving(move |departure, connection| {
        next.next().map(|worker| worker.send(Departed(departure, connection)));
    })?;
    Ok(())
}

/// Binds the listeners of the configuration, and tells of each what a reload can change.
fn listen(places: &mut Places, config: &Config, tls: Vec<Option<ListenerTls>>) -> anyhow::Result<Vec<Reloadable>> {
    let mut listeners = Vec::new();
    for ((number, listen), tls) in config.raw().listen.iter().enumerate().zip(tls) {
        let tls = tls.map(ListenerTls::settings).transpose()?;
        let store = tls.as_ref().map(|(_, store)| store.clone());
        let listener = Listener::new(number, listen, tls);
        listeners.push(Reloadable {
            tls: store,
            settings: Arc::clone(&listener.settings),
            bounds: Arc::clone(&listener.bounds),
        });
        places.listen(config, number, listener)?;
    }
    Ok(listeners)
}

/// Sends connections to the process that has taken over, as they come.
async fn depart(successor: Successor, mut departures: mpsc::UnboundedReceiver<Departed>) {
    while let Some(Departed(departure, connection)) = departures.recv().await {
        if let Err(error) = successor.send_connection(departure, connection).await {
            tracing::warn!(%error, "cannot hand over a connection to the new process");
        }
    }
}

/// The runtime for everything that is not a request.
///
/// # Errors
/// The system refuses threads.
pub fn control_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(cores() + 2)
        .thread_name("control")
        .enable_all()
        .build()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
