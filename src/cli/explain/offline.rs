//! Explanations without a gateway: gateway.yaml is read, and nothing is known of logins, revocations and counts.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;

use crate::app;
use crate::audit::Audit;
use crate::config::raw::{Level, LogFormat};
use crate::explanation::Explanation;
use crate::gateway::Shared;
use crate::gateway::connection::listener_view::ListenerView;
use crate::gateway::endpoints::password_hashing::PasswordHashing;
use crate::gateway::explain::question::ExplainQuestion;
use crate::metrics::Metrics;
use crate::policy::Lasting;
use crate::reload::Plan;
use crate::server::Listener;
use crate::state::{State, StateSettings};

/// Explains a request by gateway.yaml alone.
///
/// # Errors
/// The file is not good, or the request is none.
pub(super) fn explain(file: &Path, question: &ExplainQuestion) -> anyhow::Result<Explanation> {
    app::start_logging(Level::Error, LogFormat::default());
    let lasting = Lasting::default();
    let Plan { config, policy, tls, .. } = Plan::read(file, &lasting)?;
    let mut listeners: Vec<ListenerView> = Vec::new();
    for ((number, listen), tls) in config.raw().listen.iter().enumerate().zip(tls) {
        let tls = tls.map(|tls| tls.settings()).transpose()?;
        listeners.push(Listener::new(number, listen, tls).view());
    }
    let runtime = app::control_runtime()?;
    let metrics = Arc::new(Metrics::default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let state = State::open(StateSettings::Memory, Arc::clone(&metrics.state), runtime.handle(), now)?;
    let shared = Arc::new(Shared::new(policy, lasting, metrics, PasswordHashing::default(), state, Audit::nowhere()));
    let explained = runtime.block_on(question.explain(shared, &listeners));
    runtime.shutdown_background();
    explained.map_err(|fault| anyhow!(fault))
}
