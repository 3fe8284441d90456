//! Build everything, bind everything, run, drain.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, watch};

use crate::config::raw::{AccessLog, Level, Raw};
use crate::gateway::Shared;
use crate::gateway::access_log::AccessLogWriter;
use crate::gateway::hashing::Hashing;
use crate::metrics::Metrics;
use crate::policy::Lasting;
use crate::reload::{self, Plan, ReloadFault, Reloader};
use crate::server::operators::{self, ReloadRequest};
use crate::server::tls::CertificateStore;
use crate::server::worker::Worker;
use crate::server::{self, Listener, Phase};
use crate::state::State;

/// How often it is looked whether a file has changed.
const WATCH: Duration = Duration::from_secs(1);

/// The name of the file, beside the state, that says when keys were last used.
const LAST_USES: &str = "last-uses.json";

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
    /// The operators' socket, removed at the end.
    socket: PathBuf,
    /// Where it is written when keys were last used.
    noted: PathBuf,
    reloads: tokio::sync::Mutex<mpsc::Receiver<ReloadRequest>>,
    log: Option<AccessLogWriter>,
    control: Runtime,
}

impl App {
    /// Reads the configuration, binds all addresses and starts the workers. `control` runs everything that is not a request.
    ///
    /// # Errors
    /// What is wrong with the configuration, or with the machine.
    pub fn start(file: &Path, control: Runtime) -> anyhow::Result<Self> {
        let lasting = Lasting::default();
        let plan = Plan::read(file, &lasting)?;
        control.block_on(plan.fetch_keys(&lasting, control.handle()));
        let raw = plan.config.raw().clone();
        let metrics = Arc::new(Metrics::default());
        let hashing = Hashing::new(control.handle().clone());
        let now = u64::try_from(unix_seconds()).unwrap_or_default();
        let state = State::open(plan.state, Arc::clone(&metrics.state), control.handle(), now)?;
        let shared = Arc::new(Shared::new(plan.policy, lasting, Arc::clone(&metrics), hashing, state));
        let log = match raw.log.access {
            AccessLog::Stdout => {
                Some(AccessLogWriter::start(Arc::clone(&metrics)).context("cannot start the access log")?)
            }
            AccessLog::Off => None,
        };
        let (phase, watched) = watch::channel(Phase::Running);
        let count = raw.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        reload::note_certificates(&metrics, &plan.tls);
        let mut per_worker: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        let mut certificates = Vec::new();
        for ((number, listen), tls) in raw.listen.iter().enumerate().zip(plan.tls) {
            let (settings, store) = match tls {
                None => (None, None),
                Some(tls) => {
                    let store = Arc::new(CertificateStore::new(tls.certificates.clone()));
                    (Some(Arc::new(tls.settings(Arc::clone(&store))?)), Some(store))
                }
            };
            certificates.push(store);
            let listener = Listener::new(number, listen, settings);
            let sockets = server::bind(listen.address, count).with_context(|| {
                format!("cannot listen on {}: change `listen[].address`, or stop what is there", listen.address)
            })?;
            addresses.extend(sockets.first().map(std::net::TcpListener::local_addr).transpose()?);
            for (worker, socket) in per_worker.iter_mut().zip(sockets) {
                worker.push((socket, listener.clone()));
            }
        }
        let admin = start_admin(&control, &raw, &shared, &watched)?;
        let socket = operators::socket_path(&plan.config);
        let (asking, reloads) = mpsc::channel(4);
        start_operators(&control, &socket, &shared, asking)?;
        let noted = plan.config.data_directory().join(LAST_USES);
        shared.lasting.uses.read(&noted);
        let mut workers = Vec::new();
        for (number, listeners) in per_worker.into_iter().enumerate() {
            let worker = Worker { listeners, shared: Arc::clone(&shared), log: log.clone(), phase: watched.clone() };
            workers.push(worker.start(number).context("cannot start a worker")?);
        }
        start_sweep(&control, &shared, noted.clone());
        let reloader = Reloader::new(raw, file.to_owned(), shared, certificates, plan.config.files_read());
        let reloads = reloads.into();
        Ok(Self { reloader, addresses, admin, phase, workers, socket, noted, log, reloads, control })
    }

    /// The configuration that it was started with.
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

    /// Waits until somebody asks for a reload, or a file has changed that the configuration names.
    pub async fn reload_is_due(&self) -> Option<ReloadRequest> {
        let mut reloads = self.reloads.lock().await;
        loop {
            tokio::select! {
                Some(asked) = reloads.recv() => return Some(asked),
                () = tokio::time::sleep(WATCH) => {
                    if self.reloader.files_have_changed() {
                        return None;
                    }
                }
            }
        }
    }

    /// The runtime for everything that is not a request.
    pub fn control(&self) -> Handle {
        self.control.handle().clone()
    }

    /// Stops accepting, lets what is in flight end within the grace time, then stops.
    ///
    /// # Errors
    /// Where a worker failed.
    pub fn drain(self) -> anyhow::Result<()> {
        tracing::info!(grace = %self.configuration().shutdown.grace, "draining");
        self.phase.send_replace(Phase::Draining);
        let phase = self.phase.clone();
        let grace = self.configuration().shutdown.grace.get();
        self.control.spawn(async move {
            tokio::time::sleep(grace).await;
            tracing::warn!("the grace time is over: what is still in flight is cut off");
            phase.send_replace(Phase::Stopping);
        });
        for worker in self.workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?.context("a worker failed")?;
        }
        self.reloader.shared().lasting.uses.write(&self.noted);
        self.reloader.shared().state.close();
        let _ = std::fs::remove_file(&self.socket);
        if let Some(log) = &self.log {
            log.flush(Duration::from_secs(1));
        }
        self.control.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
        Ok(())
    }
}

/// Says on standard error what happens, one JSON line each.
pub fn start_logging(level: Level) {
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    };
    // Libraries on the data path talk a lot below this.
    let filter = format!("warn,wicketgate={level}");
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .try_init();
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

fn start_admin(
    control: &Runtime,
    raw: &Raw,
    shared: &Arc<Shared>,
    phase: &watch::Receiver<Phase>,
) -> anyhow::Result<SocketAddr> {
    let address = raw.admin.address;
    let socket = control
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("cannot listen on {address}: change `admin.address`, or stop what is there"))?;
    let bound = socket.local_addr()?;
    control.spawn(server::admin::serve(socket, Arc::clone(shared), phase.clone()));
    Ok(bound)
}

fn start_operators(
    control: &Runtime,
    path: &Path,
    shared: &Arc<Shared>,
    reloads: mpsc::Sender<ReloadRequest>,
) -> anyhow::Result<()> {
    let _guard = control.enter();
    let socket =
        operators::bind(path).with_context(|| format!("cannot listen on {}: change `admin.socket`", path.display()))?;
    control.spawn(operators::serve(socket, Arc::clone(shared), reloads));
    Ok(())
}

fn start_sweep(control: &Runtime, shared: &Arc<Shared>, noted: PathBuf) {
    let counting = Arc::clone(shared);
    control.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            counting.state.note_counts();
        }
    });
    let shared = Arc::clone(shared);
    control.spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            shared.lasting.uses.write(&noted);
            let idle = shared.policy().auth.cookie.as_ref().map_or(u64::MAX, |cookie| cookie.idle);
            shared.state.sweep(u64::try_from(unix_seconds()).unwrap_or_default(), idle).await;
        }
    });
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
