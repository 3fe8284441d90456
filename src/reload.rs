//! Reload: a new configuration is built whole beside the old one, then swapped; on any error nothing changes.

mod watched_files;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::auth::jwt::remote_jwks::PublishedKeys;
use crate::backend::endpoints::servers::FIRST_LOOK;
use crate::backend::token::TokenStatus;
use crate::config::raw::{Level, Listen, Raw};
use crate::config::{self, Config, Draft, Problems, Warning};
use crate::gateway::Shared;
use crate::gateway::connection::listener_settings::{CurrentSettings, ListenerSettings};
use crate::metrics::Metrics;
use crate::policy::{self, Lasting, Policy};
use crate::server::admin::admin_socket::socket_file;
use crate::server::limits::conn_limits;
use crate::server::tls::{self, ListenerTls, TlsStore};
use crate::{process_log, state};
use watched_files::Watched;

/// Interval of the check for holders of earlier policies.
const RETIRE: Duration = Duration::from_millis(250);

/// A configuration whose files have all been read: ready to run.
pub struct Plan {
    /// As configured.
    pub config: Config,
    /// The compiled policy.
    pub policy: Policy,
    /// TLS of the listeners, in their order.
    pub tls: Vec<Option<ListenerTls>>,
    /// The settings of the state.
    pub state: state::StateSettings,
}

impl Plan {
    /// Reads gateway.yaml and all files that it names. `lasting` is what outlives a policy.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(file: &Path, lasting: &Lasting) -> Result<Self, Problems> {
        Self::of(config::read_draft(file), lasting)
    }

    /// Reads all files that a gateway.yaml names which has been read itself.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn of(draft: Draft, lasting: &Lasting) -> Result<Self, Problems> {
        let (config, mut problems) = draft?;
        let config = config.with_clients_file(&mut problems);
        let mut found = Problems::default();
        let policy = Policy::build(&config, lasting, &mut found);
        let tls = tls::read(&config, &mut found);
        let state = policy::state::read(&config, &mut found);
        if let Some(fault) = socket_file::fault_of(&socket_file::socket_path(&config)) {
            found.push(config.problem(
                "admin.socket",
                fault,
                "change `admin.socket`: name a path at which there is nothing, such as data/admin.sock",
            ));
        }
        // What was found out from the file alone need not be said again.
        let known: HashSet<String> = problems.iter().map(|problem| problem.path.clone()).collect();
        problems.extend(config.about_real_values(found).filter(|problem| !known.contains(&problem.path)));
        match (policy, tls, state) {
            (Some(policy), Some(tls), Some(state)) if problems.is_empty() => Ok(Self { config, policy, tls, state }),
            _ => Err(problems),
        }
    }

    /// Risky settings, files that others can change, hashes that differ in cost, and expired certificates.
    pub fn warnings(&self) -> Vec<Warning> {
        let expired = expired(&self.tls).into_iter().map(|file| Warning {
            place: file,
            message: "the certificate, CA or CRL in this file has expired".to_owned(),
            help: "put one in its place that has not".to_owned(),
        });
        self.risks().into_iter().chain(expired).collect()
    }

    fn risks(&self) -> Vec<Warning> {
        self.config.warnings().into_iter().chain(policy::hash_costs::warnings(&self.config, &self.policy)).collect()
    }

    /// Logs risky settings, files that others can change and hashes that differ in cost; expired certificates are logged by [`note_certificates`].
    pub fn warn(&self) {
        for Warning { place, message, help } in self.risks() {
            tracing::warn!(place, help, "{message}");
        }
    }
}

/// Begins to look up the names of servers, to check servers and to fetch the keys of other issuers. Waits a little for
/// what comes of it, all at the same time: whatever hangs is told, and goes on beside the requests.
pub async fn look_around(policy: &Policy, lasting: &Lasting, control: &Handle) {
    let published: Vec<&Arc<PublishedKeys>> = policy.published().collect();
    for keys in &published {
        let generation = Arc::clone(&lasting.generation);
        keys.start(control, move || {
            generation.fetch_add(1, Ordering::Release);
        });
    }
    for backend in &policy.backends {
        backend.servers.start(control);
    }
    policy.tokens().for_each(|token| token.start(control));
    let until = Instant::now() + FIRST_LOOK;
    for backend in &policy.backends {
        backend.servers.first_look(until).await;
    }
    for token in policy.tokens() {
        token.first_round(until).await;
        let TokenStatus { backend, left, .. } = token.standing();
        if left.is_none() {
            tracing::error!(
                backend = &*backend,
                "no access token for a backend: its routes get 503 until there is one"
            );
        }
    }
    for keys in published {
        // A copy that is not too old is as good.
        if !keys.has_keys(unix_seconds()) {
            keys.first_round(until).await;
        }
        if !keys.has_keys(unix_seconds()) {
            tracing::error!(issuer = keys.issuer(), "issuer keys unavailable: its customers get 503 until it answers");
        }
    }
}

/// Reload of a running process.
pub struct Reloader {
    /// Tells what needs a restart: all but what is called, and who may.
    started_with: Arc<Raw>,
    file: PathBuf,
    shared: Arc<Shared>,
    /// The listeners, in their order.
    listeners: Vec<Reloadable>,
    watched: Arc<Watched>,
}

/// Parts of a listener that a reload replaces.
pub struct Reloadable {
    /// Its certificates, and whose it takes.
    pub tls: Option<TlsStore>,
    /// Settings for its requests.
    pub settings: Arc<CurrentSettings>,
    /// Limits of its connections.
    pub bounds: Arc<conn_limits::CurrentLimits>,
}

/// Reason why the configuration in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadFault {
    /// The new one is not good.
    #[error("{0}")]
    Problems(Problems),
    /// The new one differs in what only a new process can take over.
    #[error("{}, and that needs a restart", changed(.0))]
    NeedsRestart(Vec<&'static str>),
    /// It cannot be read.
    #[error("no thread reads it: {0}")]
    Thread(String),
}

impl Reloader {
    /// For a process that was started with `started_with`, which stands in `file`.
    pub fn new(
        mut started_with: Raw,
        file: PathBuf,
        shared: Arc<Shared>,
        listeners: Vec<Reloadable>,
        mut files: Vec<PathBuf>,
    ) -> Self {
        files.push(file.clone());
        (started_with.clients, started_with.api_keys, started_with.routes) = Default::default();
        let started_with = Arc::new(started_with);
        Self { started_with, file, shared, listeners, watched: Watched::start(files) }
    }

    /// The configuration at the start, without routes, clients and API keys.
    pub fn started_with(&self) -> &Raw {
        &self.started_with
    }

    /// The state shared by all workers.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// The reason why the configuration in force stays.
    pub async fn reload(&self) -> Result<(), ReloadFault> {
        self.watched.begin();
        let outcome = self.replace_all().await;
        self.shared.metrics.reloaded(outcome.as_ref().err().map(ReloadFault::to_string), unix_seconds());
        outcome
    }

    /// Waits until the content of a file that the configuration names has changed, and nobody is writing it any more.
    pub async fn files_have_changed(&self) {
        self.watched.changed().await;
    }

    async fn replace_all(&self) -> Result<(), ReloadFault> {
        let Ready { policy, tls, state, listen, level } = self.read().await?;
        look_around(&policy, &self.shared.lasting, &Handle::current()).await;
        note_certificates(&self.shared.metrics, &tls);
        for (number, ((listener, raw), tls)) in self.listeners.iter().zip(&listen).zip(tls).enumerate() {
            listener.settings.replace(ListenerSettings::new(number, raw));
            listener.bounds.replace(&raw.limits);
            if let (Some(store), Some(tls)) = (&listener.tls, tls) {
                store.replace(tls);
            }
        }
        self.shared.state.renew(&state);
        tokio::spawn(retire(self.shared.replace_policy(policy), Arc::clone(&self.shared)));
        process_log::set_level(level);
        Ok(())
    }

    /// The keys of the file that differ from what was started and that no reload takes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn needs_restart(&self) -> Result<Vec<&'static str>, String> {
        let (file, started_with) = (self.file.clone(), Arc::clone(&self.started_with));
        let read = move || {
            let (config, _) = config::read_draft(&file).map_err(|problems| problems.to_string())?;
            Ok(needs_restart(&started_with, config.raw()))
        };
        on_a_thread(read).await.map_err(|fault| fault.to_string())?
    }

    async fn read(&self) -> Result<Ready, ReloadFault> {
        let (file, shared, started_with) =
            (self.file.clone(), Arc::clone(&self.shared), Arc::clone(&self.started_with));
        let watched = Arc::clone(&self.watched);
        let read = move || {
            // What changes while it is read is seen afterwards.
            watched.read();
            let (ready, files) = Ready::read(file, &shared.lasting, &started_with)?;
            watched.follow(files);
            Ok(ready)
        };
        on_a_thread(read).await?
    }
}

/// Reads on a thread of its own: it may take seconds, or wait for a disk for ever. Whoever waits for it may go.
async fn on_a_thread<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, ReloadFault> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(move || drop(tell.send(read())));
    thread.map_err(|error| ReloadFault::Thread(error.to_string()))?;
    told.await.map_err(|_| ReloadFault::Thread("it ended".to_owned()))
}

/// Parts of a configuration that are put in force.
struct Ready {
    policy: Policy,
    tls: Vec<Option<ListenerTls>>,
    state: state::StateSettings,
    listen: Vec<Listen>,
    /// Of the log.
    level: tracing::Level,
}

impl Ready {
    /// With all files that it stands in.
    fn read(file: PathBuf, lasting: &Lasting, started_with: &Raw) -> Result<(Self, Vec<PathBuf>), ReloadFault> {
        let plan = Plan::read(&file, lasting).map_err(ReloadFault::Problems)?;
        let keys = needs_restart(started_with, plan.config.raw());
        if !keys.is_empty() {
            return Err(ReloadFault::NeedsRestart(keys));
        }
        plan.warn();
        let mut files = plan.config.files_read();
        files.push(file);
        let listen = plan.config.raw().listen.clone();
        let level = level(plan.config.raw().log.level);
        Ok((Self { policy: plan.policy, tls: plan.tls, state: plan.state, listen, level }, files))
    }
}

/// Holds a policy of before until nobody else does, and drops it where nobody waits for that. What belongs to names that
/// are gone with it is forgotten then.
async fn retire(before: Arc<Policy>, shared: Arc<Shared>) {
    while Arc::strong_count(&before) > 1 {
        tokio::time::sleep(RETIRE).await;
    }
    let _ = std::thread::Builder::new().name("retire".to_owned()).spawn(move || {
        drop(before);
        shared.lasting.forget_gone();
    });
}

/// The keys that differ and cannot be changed while running.
fn needs_restart(old: &Raw, new: &Raw) -> Vec<&'static str> {
    let listen = || {
        old.listen.len() != new.listen.len() || old.listen.iter().zip(&new.listen).any(|(old, new)| differ(old, new))
    };
    let all = [
        ("workers", old.workers != new.workers),
        ("admin.address", old.admin.address != new.admin.address),
        ("admin.socket", old.admin.socket != new.admin.socket),
        ("state", old.state.without_credentials() != new.state.without_credentials()),
        ("log.access", old.log.access != new.log.access),
        ("listen", listen()),
        ("shutdown.grace", old.shutdown.grace.get() != new.shutdown.grace.get()),
        ("shutdown.delay", old.shutdown.delay.get() != new.shutdown.delay.get()),
    ];
    all.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

/// The sentence about keys that have changed.
fn changed(keys: &[&str]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("{} {} changed", names.join(", "), if keys.len() == 1 { "has" } else { "have" })
}

/// A level as the log takes it.
pub fn level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    }
}

/// Returns whether two listeners differ in settings of their sockets.
fn differ(old: &Listen, new: &Listen) -> bool {
    let fixed = |listen: &Listen| {
        let tls = listen.tls.as_ref().map(|tls| (tls.min_version, tls.client_ca.is_some(), tls.client_certificate));
        (listen.address, tls)
    };
    fixed(old) != fixed(new)
}

/// Tells Prometheus when the certificates end.
pub fn note_certificates(metrics: &Metrics, tls: &[Option<ListenerTls>]) {
    for file in expired(tls) {
        tracing::warn!(certificate = file, "the certificate, CA or CRL in this file has expired");
    }
    metrics.certificates(tls.iter().flatten().flat_map(|tls| tls.ends.iter().cloned()));
    metrics.certificates_begin(tls.iter().flatten().flat_map(|tls| tls.begins.iter().cloned()));
}

/// The files in which a certificate, or a list of revoked ones, has expired.
fn expired(tls: &[Option<ListenerTls>]) -> Vec<String> {
    let now = unix_seconds();
    let ends = tls.iter().flatten().flat_map(|tls| &tls.ends);
    ends.filter(|(_, end)| u64::try_from(*end).unwrap_or_default() <= now).map(|(file, _)| file.clone()).collect()
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
