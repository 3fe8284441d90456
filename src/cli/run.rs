//! `wicketgate run`.

use std::future::Future;
use std::path::Path;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, App};
use crate::config;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate run --config gateway.yaml\n\nSignals:\n  \
    SIGTERM, SIGINT  stop accepting, finish what is in flight, exit 0; a second one exits now\n  \
    SIGHUP           read the configuration again; where it is wrong, the old one stays in force\n\n\
    The access log goes to standard output, all else to standard error.";

/// Runs the gateway until it is told to stop.
pub(super) fn run(file: &Path) -> anyhow::Result<()> {
    start_logging(file);
    let runtime = app::control_runtime()?;
    let signals = Signals::listen(&runtime)?;
    let app = App::start(file, runtime)?;
    announce(&app);
    signals.until_told_to_stop(&app);
    let control = app.control();
    let _guard = control.enter();
    control.spawn(exit_on_second_signal());
    app.drain()
}

/// Lets the process say what happens, from the first thing that can happen on. What is wrong with the file is said later.
pub(super) fn start_logging(file: &Path) {
    let level = config::read_draft(file).map(|(config, _)| config.raw().log.level).unwrap_or_default();
    app::start_logging(level);
}

/// Says where it listens.
pub(super) fn announce(app: &App) {
    for address in &app.addresses {
        tracing::info!(role = "gateway", %address, "listening");
    }
    tracing::info!(role = "admin", address = %app.admin, "listening");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
}

/// What the process is told from outside. A signal that comes while the gateway starts waits here until it has.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on, none of them ends the process by itself: so listen before anything else.
    ///
    /// # Errors
    /// Where signals cannot be had.
    pub(super) fn listen(runtime: &Runtime) -> std::io::Result<Self> {
        let _guard = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads on SIGHUP; returns on SIGTERM or SIGINT.
    pub(super) fn until_told_to_stop(mut self, app: &App) {
        app.control().block_on(async {
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => return,
                    _ = self.interrupt.recv() => return,
                    _ = self.hang_up.recv() => drop(reload(app, "signal").await),
                    asked = app.reload_is_due() => match asked {
                        Some(asked) => drop(asked.send(reload(app, "operator").await)),
                        None => drop(reload(app, "files").await),
                    },
                }
            }
        });
    }
}

/// Reads the configuration again and says so.
async fn reload(app: &App, cause: &str) -> Result<(), String> {
    match app.reload().await {
        Ok(()) => {
            tracing::info!(cause, "reloaded");
            Ok(())
        }
        Err(fault) => {
            tracing::error!(cause, reason = %fault, "reload failed");
            Err(fault.to_string())
        }
    }
}

fn exit_on_second_signal() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("told to stop twice: exiting now");
        std::process::exit(1);
    }
}
