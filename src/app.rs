//! Build everything, bind everything, run, drain.

mod listen_sockets;
pub mod startup_check;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, watch};

use crate::config::raw::{self, AccessLog, Level, Raw};
use crate::config::{Config, Draft, Problems};
use crate::gateway::Shared;
use crate::gateway::endpoints::password_hashing::Hashing;
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::metrics::Metrics;
use crate::policy::Lasting;
use crate::process_log;
use crate::reload::{self, Plan, ReloadFault, Reloadable, Reloader};
use crate::server::admin_socket::{self, BoundSocket, Wish};
use crate::server::connection_handoff::Departed;
use crate::server::lock_owner::Owner;
use crate::server::tls::ListenerTls;
use crate::server::upgrade::{HandoverFault, Predecessor, Sockets, Successor};
use crate::server::worker::{PULSE, Worker};
use crate::server::{self, Listener, Phase};
use crate::state::{OpenFault, State};
use crate::systemd::{Pulse, ServiceManager};
use listen_sockets::Places;

/// The name of the file, beside the state, that says when keys were last used.
const LAST_USES: &str = "last-uses.json";

/// How long the checks of a request may take before what they write may come too late.
const SETTLE: Duration = Duration::from_millis(20);

/// How long another process waits for logins and logouts that this one has begun.
const QUIET: Duration = Duration::from_secs(3);

/// How long a shared store may take to answer before callers are let in all the same. Where it is away, it is so for the
/// process before this one too.
const READY: Duration = Duration::from_secs(2);

/// How often it is looked whether there is enough memory.
const LOOK: Duration = Duration::from_millis(250);

/// How often ended sessions are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// The running process.
pub struct App {
    /// What can be read again while it runs.
    reloader: Reloader,
    /// Where callers connect.
    pub addresses: Vec<SocketAddr>,
    /// Where operators connect.
    pub admin: SocketAddr,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    /// What each of them counts while it turns.
    pulses: Vec<Arc<AtomicU64>>,
    /// The operators' socket, removed at the end.
    socket: BoundSocket,
    /// All sockets, for the process that takes over.
    sockets: Sockets,
    /// Connections that go over to it.
    departures: mpsc::UnboundedReceiver<Departed>,
    /// This process, as it stands beside the state.
    owner: StateOwner,
    /// That process.
    successor: Mutex<Option<Successor>>,
    /// Where it is written when keys were last used.
    noted: PathBuf,
    wishes: tokio::sync::Mutex<mpsc::Receiver<Wish>>,
    log: Option<AccessLogWriter>,
    control: Runtime,
}

impl App {
    /// Reads all that the configuration of `file` names, binds all addresses and starts the workers. `given` are sockets that
    /// are open already. `control` runs everything that is not a request.
    ///
    /// # Errors
    /// What is wrong with the configuration, or with the machine.
    pub fn start(file: &Path, draft: Draft, given: Sockets, control: Runtime) -> anyhow::Result<Self> {
        Self::begin(file, draft, given, control, |socket, own| match Owner::at(socket) {
            Ok(None) => Ok(None),
            Ok(Some(other)) => bail!("{}", other.refusal(own, socket)),
            Err(error) => bail!("{}", silent(socket, &error)),
        })
    }

    /// The same, taking over from the process that runs with this configuration, if there is one. It goes on until
    /// nothing can go wrong here any more.
    ///
    /// # Errors
    /// As [`App::start`]; then the other process goes on.
    pub fn upgrade(file: &Path, draft: Draft, given: Sockets, control: Runtime) -> anyhow::Result<Self> {
        Self::begin(file, draft, given, control, |socket, own| {
            let met = Predecessor::meet(socket, own)?;
            if met.is_none() {
                tracing::info!(socket = %socket.display(), "nobody runs here to take over from: starting as without --upgrade");
            }
            Ok(met)
        })
    }

    fn begin(
        file: &Path,
        draft: Draft,
        mut given: Sockets,
        control: Runtime,
        meet: impl FnOnce(&Path, &Owner) -> anyhow::Result<Option<(Predecessor, Sockets)>>,
    ) -> anyhow::Result<Self> {
        let mut owner = Owner::this(file);
        let lasting = Lasting::default();
        let plan = Plan::of(draft, &lasting)?;
        plan.warn();
        control.block_on(reload::look_around(&plan.policy, &lasting, control.handle()));
        let raw = plan.config.raw().clone();
        owner.listens = raw.listen.iter().map(|listen| listen.address).chain([raw.admin.address]).collect();
        let socket = admin_socket::socket_path(&plan.config);
        let predecessor = match meet(&socket, &owner)? {
            Some((predecessor, sockets)) => {
                given = sockets;
                Some(predecessor)
            }
            None => None,
        };
        let problems = startup_check::directories(&plan);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let metrics = Arc::new(Metrics::default());
        reload::note_certificates(&metrics, &plan.tls);
        let count = raw.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let mut places = Places::new(given, count);
        let mut listeners = Vec::new();
        for ((number, listen), tls) in raw.listen.iter().enumerate().zip(plan.tls) {
            let tls = tls.map(ListenerTls::settings).transpose()?;
            let store = tls.as_ref().map(|(_, store)| store.clone());
            let listener = Listener::new(number, listen, tls);
            listeners.push(Reloadable {
                tls: store,
                entrance: Arc::clone(&listener.entrance),
                bounds: Arc::clone(&listener.bounds),
            });
            places.listen(&plan.config, number, listener)?;
        }
        let admin = places.admin(&plan.config, raw.admin.address)?;
        places.nothing_is_left(predecessor.is_some())?;
        // From here on what can go wrong is the state, and only it is waited for.
        if let Some(predecessor) = &predecessor {
            predecessor.give()?;
        }
        let hashing = Hashing::default();
        let now = u64::try_from(unix_seconds()).unwrap_or_default();
        let directory = plan.state.directory().map(Path::to_owned);
        let owner = StateOwner { owner, directory };
        let state = State::open(plan.state, Arc::clone(&metrics.state), control.handle(), now)
            .map_err(|fault| owner.explain(&plan.config, fault))?;
        owner.note();
        if predecessor.is_some() {
            control.block_on(state.is_ready(READY));
        }
        // A socket in the file system is made last: nothing is left of a start that fails.
        let operators = places.operators(&plan.config, &socket)?;
        let noted = plan.config.data_directory().join(LAST_USES);
        lasting.uses.read(&noted);
        let shared = Arc::new(Shared::new(plan.policy, lasting, Arc::clone(&metrics), hashing, state));
        let log = match raw.log.access {
            AccessLog::Stdout => {
                Some(AccessLogWriter::start(Arc::clone(&metrics)).context("cannot start the access log")?)
            }
            AccessLog::Off => None,
        };
        let (phase, watched) = watch::channel(Phase::Waiting);
        let (departures, departed) = mpsc::unbounded_channel();
        let mut arrivals = Vec::new();
        let mut workers = Vec::new();
        let mut pulses = Vec::new();
        for (number, listeners) in places.per_worker.into_iter().enumerate() {
            let (arrival, arriving) = mpsc::unbounded_channel();
            arrivals.push(arrival);
            let pulse = Arc::<AtomicU64>::default();
            pulses.push(Arc::clone(&pulse));
            let worker = Worker {
                listeners,
                shared: Arc::clone(&shared),
                log: log.clone(),
                phase: watched.clone(),
                pulse,
                arrivals: arriving,
                departures: departures.clone(),
            };
            workers.push(worker.start(number).context("cannot start a worker")?);
        }
        if let Some(predecessor) = predecessor {
            let mut next = arrivals.into_iter().cycle();
            predecessor.serving(move |departure, connection| {
                next.next().map(|worker| worker.send(Departed(departure, connection)));
            })?;
        }
        phase.send_replace(Phase::Running);
        let admin_address = admin.local_addr()?;
        let (wishing, wishes) = mpsc::channel(4);
        {
            let _guard = control.enter();
            let admin = tokio::net::TcpListener::from_std(admin)?;
            control.spawn(server::admin_http::serve(admin, Arc::clone(&shared), watched.clone()));
            let operators = tokio::net::UnixListener::from_std(operators)?;
            control.spawn(admin_socket::serve(operators, owner.owner.clone(), Arc::clone(&shared), wishing, watched));
        }
        start_sweep(&control, &shared, noted.clone(), owner.clone());
        Ok(Self {
            reloader: Reloader::new(raw, file.to_owned(), shared, listeners, plan.config.files_read()),
            addresses: places.addresses,
            admin: admin_address,
            phase,
            workers,
            pulses,
            socket: BoundSocket::at(socket),
            sockets: places.held,
            departures: departed,
            owner,
            successor: Mutex::default(),
            noted,
            log,
            wishes: wishes.into(),
            control,
        })
    }

    /// The configuration that it was started with, without routes, clients and API keys.
    pub fn configuration(&self) -> &Raw {
        self.reloader.started_with()
    }

    /// What all workers share.
    pub fn shared(&self) -> &Shared {
        self.reloader.shared()
    }

    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// Why the old one stays.
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
    /// Why it did not: this process goes on.
    pub async fn hand_over(&self, mut successor: Successor) -> Result<u32, HandoverFault> {
        successor.prepare(&self.sockets).await?;
        self.phase.send_replace(Phase::Waiting);
        // Requests whose head has come are on their way through the checks, which may write too.
        tokio::time::sleep(SETTLE).await;
        self.shared().is_quiet(QUIET).await;
        let release = self.shared().state.release();
        self.shared().lasting.uses.write(&self.noted);
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
    /// Where a worker failed.
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
            tracing::warn!("the grace time is over: what is still in flight is cut off");
            phase.send_replace(Phase::Stopping);
        });
        let departing = successor.map(|successor| self.control.spawn(depart(successor, self.departures)));
        for worker in self.workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?.context("a worker failed")?;
        }
        if let Some(departing) = departing {
            let _ = self.control.block_on(departing);
        } else {
            self.reloader.shared().lasting.uses.write(&self.noted);
            self.socket.remove();
            self.owner.forget();
        }
        self.reloader.shared().state.close();
        if let Some(log) = &self.log {
            log.flush(Duration::from_secs(1));
        }
        self.control.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
        Ok(())
    }
}

/// That nobody knows which process has what this one needs.
fn silent(socket: &Path, error: &io::Error) -> String {
    format!(
        "the state is in use: a process answers at {} that does not say which it is ({error}). Stop it first, or set \
         another `state.embedded.path` or `admin.socket`",
        socket.display()
    )
}

/// The note beside the state that says which process has it.
#[derive(Clone)]
struct StateOwner {
    owner: Owner,
    /// `None` where no file is locked.
    directory: Option<PathBuf>,
}

impl StateOwner {
    fn note(&self) {
        let Some(directory) = &self.directory else { return };
        if let Err(error) = self.owner.write(directory) {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "cannot write which process has the state: it is tried again");
        }
    }

    /// Writes it where it could not be written before, or has been changed.
    fn keep(&self) {
        self.directory.iter().for_each(|directory| drop(self.owner.keep(directory)));
    }

    fn forget(&self) {
        self.directory.iter().for_each(|directory| Owner::remove(directory));
    }

    /// Who has the state, where that is why it cannot be opened.
    fn explain(&self, config: &Config, fault: OpenFault) -> anyhow::Error {
        let is_locked = matches!(fault, OpenFault::Locked(_));
        let other = self.directory.as_deref().filter(|_| is_locked).and_then(Owner::read);
        let error = anyhow::Error::new(Problems::from(startup_check::no_state(config, &fault)));
        match other {
            Some(other) => error.context(format!("{other} has the state, and goes on as before")),
            None => error,
        }
    }
}

/// Sends connections to the process that has taken over, as they come.
async fn depart(successor: Successor, mut departures: mpsc::UnboundedReceiver<Departed>) {
    while let Some(Departed(departure, connection)) = departures.recv().await {
        if let Err(error) = successor.send_connection(departure, connection).await {
            tracing::warn!(%error, "a connection cannot go over to the new process");
        }
    }
}

/// Says on standard error what happens, one JSON line each.
pub fn start_logging(level: Level) {
    process_log::start(reload::level(level));
}

/// The runtime for everything that is not a request.
///
/// # Errors
/// Where the machine gives no threads.
pub fn control_runtime() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(cores + 2)
        .thread_name("control")
        .enable_all()
        .build()
}

fn start_sweep(control: &Runtime, shared: &Arc<Shared>, noted: PathBuf, owner: StateOwner) {
    let counting = Arc::clone(shared);
    control.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            counting.state.note_counts();
            counting.state.note_answers();
            counting.metrics.diagnostics_dropped(process_log::dropped());
        }
    });
    let looking = Arc::clone(shared);
    control.spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            looking.memory.look(looking.policy().memory_limit);
        }
    });
    let shared = Arc::clone(shared);
    control.spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let (sweeping, noted, owner) = (Arc::clone(&shared), noted.clone(), owner.clone());
            // Of many keys, or on a disk that hangs, this takes long.
            let swept = tokio::task::spawn_blocking(move || {
                sweeping.lasting.forget_gone();
                sweeping.forget_idle_limits();
                sweeping.lasting.uses.write(&noted);
                if !sweeping.state.is_given() {
                    owner.keep();
                }
            });
            let _ = swept.await;
            shared.metrics.forget(Instant::now());
            let idle = shared.policy().auth.cookie.as_ref().map_or(u64::MAX, |cookie| cookie.idle);
            let now = u64::try_from(unix_seconds()).unwrap_or_default();
            shared.state.forget_counts(now);
            shared.state.sweep(now, idle).await;
        }
    });
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
