//! Reload: a new configuration is built whole beside the old one, then swapped; on any error nothing changes.

mod guard;
mod in_force;
pub mod preview;
mod reloader;
mod restart;
mod watched_files;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;

use crate::auth::jwt::remote_jwks::PublishedKeys;
use crate::backend::endpoints::servers::FIRST_LOOK;
use crate::backend::token::TokenStatus;
use crate::config::raw::Level;
use crate::config::{self, Config, Draft, Problems, Warning};
use crate::metrics::Metrics;
use crate::otlp::OtlpSettings;
use crate::policy::{self, Lasting, Policy};
use crate::server::admin::admin_socket::socket_file;
use crate::server::tls::{self, ListenerTls};
use crate::state;
pub use in_force::Reloadable;
pub use reloader::{ReloadFault, Reloader};
pub use restart::needs_restart;

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
    /// The export of traces, where there is one.
    pub traces: Option<OtlpSettings>,
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
        let traces = policy::telemetry::read(&config, &mut found);
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
            (Some(policy), Some(tls), Some(state)) if problems.is_empty() => {
                Ok(Self { config, policy, tls, state, traces })
            }
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
        let of_descriptions = self.policy.description_warnings.iter().cloned();
        let of_hashes = policy::hash_costs::warnings(&self.config, &self.policy);
        self.config.warnings().into_iter().chain(of_hashes).chain(of_descriptions).collect()
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

/// A level as the log takes it.
pub fn level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    }
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
