//! `wicketgate run`.

use std::ffi::OsString;
use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;

use anyhow::Context as _;
use clap::Args;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::ConfigFile;
use crate::app::{self, App};
use crate::audit::AuditEvent;
use crate::config::{self, Draft};
use crate::server::admin::admin_socket::Wish;
use crate::server::upgrade::{Sockets, Successor};
use crate::systemd::ServiceManager;
use crate::{process_log, version};

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate run --config gateway.yaml\n\nSignals:\n  \
    SIGTERM, SIGINT  stop accepting, finish the requests in flight, exit 0; a second one exits at once\n  \
    SIGHUP           reload the configuration; with any error the old one stays in force\n  \
    SIGUSR1          open the files of the logs again, after they were renamed\n  \
    SIGUSR2          upgrade: start the program again from its file, with the same arguments and --upgrade\n\n\
    Upgrade without loss: SIGUSR2, or a second process with --upgrade, of the same user, in the same network namespace\n\
    and with the same configuration file. It reads and checks everything, and then takes over the listening sockets, the\n\
    state and the connections of the first one, which finishes the requests in flight within shutdown.grace and exits 0,\n\
    with or without a SIGTERM. Where the second one fails, the first one continues. Without --upgrade a second process\n\
    names the one that has the state, exits 1 and changes nothing.\n\n\
    The access log goes to standard output or to a file (`log.access`), all else to standard error; the audit log is\n\
    audit.jsonl beside the state.";

/// Flag that makes a process take over from the one that runs.
const UPGRADE: &str = "--upgrade";

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Take over from the process that runs with this configuration file; where none runs, start as usual.
    #[arg(long)]
    upgrade: bool,
}

/// Runs the gateway until it is told to stop.
pub(super) fn run(run: &Run) -> anyhow::Result<()> {
    let file = &run.file.config;
    let given = Sockets::of_service_manager().context("cannot use the sockets of the service manager")?;
    let program = Program::this()?;
    keep_secrets_out_of_dumps().context("cannot rule out core dumps")?;
    let draft = config::read_draft(file);
    start_logging(&draft);
    let runtime = app::control_runtime()?;
    let signals = Signals::listen(&runtime)?;
    let app =
        if run.upgrade { App::upgrade(file, draft, given, runtime)? } else { App::start(file, draft, given, runtime)? };
    announce(&app);
    let manager = ServiceManager::from_environment();
    manager.ready("serving");
    app.keep_alive(&manager);
    let told = signals.until_told_to_stop(&app, &manager, Some(&program));
    match told {
        ShutdownReason::Stop => manager.stopping(),
        ShutdownReason::HandedOver(id) => manager.succeeded_by(id),
    }
    let control = app.control();
    let _guard = control.enter();
    control.spawn(exit_when_hastened(told));
    app.drain()
}

/// Keys and tokens are in memory: no crash writes it to a disk, and no other process of this user reads it.
fn keep_secrets_out_of_dumps() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Reason for the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShutdownReason {
    /// It was told to.
    Stop,
    /// The process of this id has taken over.
    HandedOver(u32),
}

/// Command line of this process, to start the one that takes over.
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// To be asked before the file can be replaced by that of another version.
    fn this() -> io::Result<Self> {
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        if !arguments.iter().any(|argument| argument == UPGRADE) {
            arguments.push(UPGRADE.into());
        }
        Ok(Self { path: std::env::current_exe()?, arguments })
    }

    /// Starts it once more, as it is now, to take over. What becomes of it, it says itself.
    fn start(&self) {
        // The watchdog watches whoever is the service, and that is to be the new process.
        let mut command = Command::new(&self.path);
        match command.args(&self.arguments).env_remove("WATCHDOG_PID").spawn() {
            Ok(mut child) => {
                tracing::info!(program = %self.path.display(), id = child.id(), "a new process is starting");
                std::thread::spawn(move || {
                    if let Ok(status) = child.wait() {
                        tracing::error!(id = child.id(), %status, "the new process has ended");
                    }
                });
            }
            Err(error) => tracing::error!(program = %self.path.display(), %error, "no new process can be started"),
        }
    }
}

/// Lets the process say what happens, from the first thing that can happen on. What is wrong with the file is said later.
pub(super) fn start_logging(draft: &Draft) {
    let (level, format) =
        draft.as_ref().map(|(config, _)| (config.raw().log.level, config.raw().log.format)).unwrap_or_default();
    app::start_logging(level, format);
}

/// Says where it listens.
pub(super) fn announce(app: &App) {
    for address in &app.addresses {
        tracing::info!(role = "gateway", %address, "listening");
    }
    tracing::info!(role = "admin", address = %app.admin, "listening");
    tracing::info!(version = version::VERSION, commit = version::COMMIT, date = version::DATE, "ready");
}

/// Signals and commands from outside. A signal that comes while the gateway starts waits here until it has.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    upgrade: Signal,
    reopen: Signal,
}

impl Signals {
    /// From now on, none of them ends the process by itself: so listen before anything else.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Self> {
        let _guard = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Reloads on SIGHUP, starts `program` on SIGUSR2; returns on SIGTERM or SIGINT, or when another process has taken
    /// over. A reload may wait for a disk for ever: it is no reason not to hear the rest.
    pub(super) fn until_told_to_stop(
        mut self,
        app: &App,
        manager: &ServiceManager,
        program: Option<&Program>,
    ) -> ShutdownReason {
        let mut reloads = Reloads { app, manager, running: None, next: None };
        app.control().block_on(async {
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => return ShutdownReason::Stop,
                    _ = self.interrupt.recv() => return ShutdownReason::Stop,
                    _ = self.hang_up.recv() => reloads.ask("signal", None),
                    _ = self.upgrade.recv() => program.into_iter().for_each(Program::start),
                    _ = self.reopen.recv() => app.reopen_logs(),
                    () = reloads.run() => {}
                    wish = app.wish() => match wish {
                        None => reloads.ask("files", None),
                        Some(Wish::Reload(asked)) => reloads.ask("operator", Some(asked)),
                        Some(Wish::Compare(asked)) => tokio::select! {
                            _ = self.terminate.recv() => return ShutdownReason::Stop,
                            _ = self.interrupt.recv() => return ShutdownReason::Stop,
                            keys = app.needs_restart() => drop(asked.send(keys)),
                        },
                        Some(Wish::Preview(question, asked)) => {
                            let preview = app.preview(question.file, question.replay);
                            app.control().spawn(async move { drop(asked.send(preview.await)) });
                        }
                        Some(Wish::Handover(successor)) => tokio::select! {
                            _ = self.terminate.recv() => return ShutdownReason::Stop,
                            id = hand_over(app, successor) => if let Some(id) = id {
                                return ShutdownReason::HandedOver(id);
                            },
                        },
                    },
                }
            }
        })
    }
}

/// Callers that wait for the result of a reload.
type Asked = oneshot::Sender<Result<(), String>>;

/// The reload that runs, and the one after it: all that ask meanwhile ask for one.
struct Reloads<'a> {
    app: &'a App,
    manager: &'a ServiceManager,
    running: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    /// The first cause, and all callers that wait for the result.
    next: Option<(&'static str, Vec<Asked>)>,
}

impl Reloads<'_> {
    fn ask(&mut self, cause: &'static str, asked: Option<Asked>) {
        if self.running.is_some() && self.next.is_none() {
            tracing::info!(cause, "a reload is still running: another one comes after it");
        }
        self.next.get_or_insert_with(|| (cause, Vec::new())).1.extend(asked);
    }

    /// Runs the one that runs, or the next; without one it never ends.
    async fn run(&mut self) {
        if self.running.is_none() {
            let Some((cause, asked)) = self.next.take() else { return pending().await };
            let (app, manager) = (self.app, self.manager);
            self.running = Some(Box::pin(async move {
                let outcome = reload(app, manager, cause).await;
                for asked in asked {
                    let _ = asked.send(outcome.clone());
                }
            }));
        }
        if let Some(running) = &mut self.running {
            running.await;
        }
        self.running = None;
    }
}

/// Lets another process take over; its id if it did.
async fn hand_over(app: &App, successor: Successor) -> Option<u32> {
    match app.hand_over(successor).await {
        Ok(id) => {
            app.shared().audit.note(AuditEvent::new("handover", "ok").with("successor_pid", id));
            tracing::info!(id, "another process has taken over");
            Some(id)
        }
        Err(fault) => {
            app.shared().audit.note(AuditEvent::new("handover", "failed").with("reason", fault.to_string()));
            tracing::error!(reason = %fault, "no other process has taken over: this one goes on");
            None
        }
    }
}

/// Reads the configuration again and says so.
async fn reload(app: &App, manager: &ServiceManager, cause: &str) -> Result<(), String> {
    manager.reloading();
    match app.reload().await {
        Ok(()) => {
            note_reload(app, "ok", cause, None);
            tracing::info!(cause, "reloaded");
            manager.ready("serving");
            Ok(())
        }
        Err(fault) => {
            note_reload(app, "failed", cause, Some(fault.to_string()));
            tracing::error!(cause, reason = %fault, "reload failed");
            manager.ready(&format!("serving with the configuration before, reload failed: {fault}"));
            Err(fault.to_string())
        }
    }
}

/// Notes a reload in the audit log, with the configuration that is in force afterwards.
fn note_reload(app: &App, outcome: &'static str, cause: &str, reason: Option<String>) {
    let event = AuditEvent::new("reload", outcome).with("cause", cause).with_some("reason", reason);
    app.shared().audit.note(event.with("config_sha256", app.shared().policy().config_digest.as_str()));
}

/// Ends the process at once when it is told to stop once more than it takes.
fn exit_when_hastened(told: ShutdownReason) -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return };
        // A process that has handed over ends by itself, and being told so changes nothing.
        for _ in 0..if told == ShutdownReason::Stop { 1 } else { 2 } {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        tracing::warn!("told to stop twice: exiting now");
        process_log::flush();
        std::process::exit(1);
    }
}
