//! Reload of a running process, and the way back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::guard::{Guard, TrialVerdict};
use super::in_force::{Earlier, FilesDigest, InForce, Reloadable, put_listeners};
use super::preview::{self, Compared, KeptMeaning, Meaning, ReloadCauses};
use super::restart::{changed, needs_restart};
use super::watched_files::Watched;
use super::{Plan, level, look_around, note_certificates, unix_seconds};
use crate::audit::AuditEvent;
use crate::config::raw::Raw;
use crate::config::{self, Config, Problems};
use crate::gateway::Shared;
use crate::gateway::observe::reload_history::ReloadOutcome;
use crate::policy::{Lasting, Policy};
use crate::policy_change::PolicyChange;
use crate::server::tls::ListenerTls;
use crate::{process_log, state};

/// Interval of the check for holders of earlier policies.
const RETIRE: Duration = Duration::from_millis(250);

/// Most configurations that are compared at the same time: one may wait for a disk for ever.
const MOST_PREVIEWS: usize = 4;

/// Reload of a running process.
pub struct Reloader(Arc<Process>);

struct Process {
    /// Tells what needs a restart: all but what is called, and who may.
    started_with: Arc<Raw>,
    file: PathBuf,
    shared: Arc<Shared>,
    /// The listeners, in their order.
    listeners: Vec<Reloadable>,
    watched: Arc<Watched>,
    in_force: Mutex<InForce>,
    guard: Guard,
    /// Tells the guard that there is something to look at.
    guarded: Notify,
    /// What has been rolled back, and why.
    rolled_back: Mutex<Option<(FilesDigest, String)>>,
    /// Held while a configuration is put in force, or back.
    changing: tokio::sync::Mutex<()>,
    previews: Arc<Semaphore>,
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
    /// The same was in force, and `reload.guard` has rolled it back.
    #[error("this configuration has been rolled back before: {0}. Change it, or restart the gateway to force it")]
    RolledBack(String),
    /// It cannot be read.
    #[error("no thread reads it: {0}")]
    Thread(String),
}

impl Reloader {
    /// For a process that was started with `started_with`, which stands in `file` and was read as `config`. `control` runs
    /// what watches over reloads.
    pub fn new(
        mut started_with: Raw,
        config: &Config,
        shared: Arc<Shared>,
        listeners: Vec<Reloadable>,
        control: &Handle,
    ) -> Self {
        let file = config.file().to_owned();
        let mut files = config.files_read();
        files.push(file.clone());
        (started_with.clients, started_with.api_keys, started_with.routes) = Default::default();
        let in_force = InForce::of(config, &Meaning::of(config), &files);
        let guard = Guard::default();
        guard.set(in_force.guard);
        let process = Arc::new(Process {
            started_with: Arc::new(started_with),
            file,
            shared,
            listeners,
            watched: Watched::start(files),
            in_force: Mutex::new(in_force),
            guard,
            guarded: Notify::new(),
            rolled_back: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            previews: Arc::new(Semaphore::new(MOST_PREVIEWS)),
        });
        control.spawn(keep_guard(Arc::downgrade(&process)));
        Self(process)
    }

    /// The configuration at the start, without routes, clients and API keys.
    pub fn started_with(&self) -> &Raw {
        &self.0.started_with
    }

    /// The state shared by all workers.
    pub fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// The reason why the configuration in force stays.
    pub async fn reload(&self) -> Result<(), ReloadFault> {
        let process = &self.0;
        process.watched.begin();
        let outcome = process.replace_all().await;
        let fault = outcome.as_ref().err().map(ReloadFault::to_string);
        process.shared.metrics.reloaded(fault.clone(), unix_seconds());
        let (outcome, told, changes) = match outcome {
            Ok(changes) => (Ok(()), ReloadOutcome::Applied, changes),
            Err(fault) => (Err(fault), ReloadOutcome::Failed, Vec::new()),
        };
        process.shared.reloads.note(told, fault, changes);
        outcome
    }

    /// Waits until the content of a file that the configuration names has changed, and nobody is writing it any more.
    pub async fn files_have_changed(&self) {
        self.0.watched.changed().await;
    }

    /// The keys of the file that differ from what was started and that no reload takes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn needs_restart(&self) -> Result<Vec<&'static str>, String> {
        let (file, started_with) = (self.0.file.clone(), Arc::clone(&self.0.started_with));
        let read = move || {
            let (config, _) = config::read_draft(&file).map_err(|problems| problems.to_string())?;
            Ok(needs_restart(&started_with, config.raw()))
        };
        on_a_thread(read).await.map_err(|fault| fault.to_string())?
    }

    /// What the configuration of `file` would change, the dangerous changes first; with `replays` also which calls of
    /// the last hour would be refused. Nothing changes meanwhile, and whoever waits for it may go.
    pub fn preview(
        &self,
        file: PathBuf,
        replays: bool,
    ) -> impl Future<Output = Result<Vec<PolicyChange>, String>> + Send + 'static {
        let process = Arc::clone(&self.0);
        async move {
            let permit = Arc::clone(&process.previews).try_acquire_owned();
            let permit = permit.map_err(|_| "too many configurations are being compared: try again".to_owned())?;
            let read = move || {
                // Given back when it has been read, however long that takes.
                let _permit = permit;
                let old = process.compared().ok_or("the configuration in force has not been kept")?;
                let plan = Plan::read(&file, &Lasting::default()).map_err(|problems| problems.to_string())?;
                let keys = needs_restart(&process.started_with, plan.config.raw());
                let meaning = Arc::new(Meaning::of(&plan.config));
                let new = Compared { meaning, policy: Arc::new(plan.policy) };
                let mut changes = preview::differences(&old, &new, unix_seconds());
                changes.extend(preview::restart_change(&keys));
                if replays {
                    changes.extend(preview::replay(&process.shared.shapes, &old, &new));
                }
                Ok(preview::in_order(changes))
            };
            on_a_thread(read).await.map_err(|fault| fault.to_string())?
        }
    }
}

/// Reads on a thread of its own: it may take seconds, or wait for a disk for ever. Whoever waits for it may go.
async fn on_a_thread<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, ReloadFault> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(move || drop(tell.send(read())));
    thread.map_err(|error| ReloadFault::Thread(error.to_string()))?;
    told.await.map_err(|_| ReloadFault::Thread("it ended".to_owned()))
}

impl Process {
    /// Puts the files in force as they are; returns what that changes.
    async fn replace_all(self: &Arc<Self>) -> Result<Vec<PolicyChange>, ReloadFault> {
        let Ready { policy, tls, state, in_force, changes, causes } = self.read().await?;
        look_around(&policy, &self.shared.lasting, &Handle::current()).await;
        note_certificates(&self.shared.metrics, &tls);
        let _changing = self.changing.lock().await;
        let earlier = Earlier::now(&self.shared, &self.listeners, self.in_force().clone());
        put_listeners(&self.listeners, &in_force.listen);
        for (listener, tls) in self.listeners.iter().zip(tls) {
            if let (Some(store), Some(tls)) = (&listener.tls, tls) {
                store.replace(tls);
            }
        }
        self.shared.state.renew(&state);
        drop(self.shared.replace_policy(policy));
        process_log::set_level(in_force.level);
        let unneeded = self.guard.begin(in_force.guard, (earlier, causes), &self.shared.shapes, Instant::now());
        unneeded.into_iter().for_each(|earlier| self.retire(earlier.policy));
        *self.in_force() = in_force;
        *self.rolled_back.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.guarded.notify_one();
        Ok(changes)
    }

    /// Puts the last confirmed configuration back.
    fn roll_back(&self, earlier: Earlier, fault: String) {
        tracing::error!(reason = fault, "reload rolled back");
        let (before, policy) = earlier.put_back(&self.shared, &self.listeners);
        self.guard.set(before.guard);
        let undone = std::mem::replace(&mut *self.in_force(), before);
        let changes = self.changes_to(&undone.meaning, &policy);
        self.retire(policy);
        *self.rolled_back.lock().unwrap_or_else(PoisonError::into_inner) = Some((undone.digest, fault.clone()));
        self.shared.metrics.rolled_back(fault.clone(), unix_seconds());
        let event =
            AuditEvent::new("reload", "rolled_back").with("cause", "reload.guard").with("reason", fault.clone());
        self.shared.audit.note(event.with("config_sha256", self.shared.policy().config_digest.as_str()));
        self.shared.reloads.note(ReloadOutcome::RolledBack, Some(fault), changes);
    }

    /// What a configuration that has been taken back would have changed.
    fn changes_to(&self, undone: &KeptMeaning, policy: &Arc<Policy>) -> Vec<PolicyChange> {
        let new = undone.open().map(|meaning| Compared { meaning: Arc::new(meaning), policy: Arc::clone(policy) });
        let both = self.compared().zip(new);
        both.map(|(old, new)| preview::differences(&old, &new, unix_seconds())).unwrap_or_default()
    }

    async fn read(self: &Arc<Self>) -> Result<Ready, ReloadFault> {
        let process = Arc::clone(self);
        let read = move || {
            // What changes while it is read is seen afterwards.
            process.watched.read();
            let (ready, files) = Ready::read(&process)?;
            process.watched.follow(files);
            let rolled_back = process.rolled_back.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match rolled_back.filter(|(digest, _)| *digest == ready.in_force.digest) {
                Some((_, fault)) => Err(ReloadFault::RolledBack(fault)),
                None => Ok(ready),
            }
        };
        on_a_thread(read).await?
    }

    /// The configuration in force, to be compared.
    fn compared(&self) -> Option<Compared> {
        let (meaning, policy) = {
            let in_force = self.in_force();
            (in_force.meaning.clone(), self.shared.policy())
        };
        Some(Compared { meaning: Arc::new(meaning.open()?), policy })
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops a policy of before once nobody else holds it.
    fn retire(&self, before: Arc<Policy>) {
        tokio::spawn(retire(before, Arc::clone(&self.shared)));
    }
}

/// Looks at what becomes of refusals for as long as the process lives.
async fn keep_guard(process: Weak<Process>) {
    loop {
        let Some(present) = process.upgrade() else { return };
        match present.guard.pause() {
            None => present.guarded.notified().await,
            Some(pause) => {
                drop(present);
                tokio::time::sleep(pause).await;
                let Some(process) = process.upgrade() else { return };
                let _changing = process.changing.lock().await;
                match process.guard.look(&process.shared.shapes, &process.shared.policy(), Instant::now()) {
                    TrialVerdict::Open => {}
                    TrialVerdict::Confirmed(earlier) => process.retire(earlier.policy),
                    TrialVerdict::RollBack(earlier, fault) => process.roll_back(earlier, fault),
                }
            }
        }
    }
}

/// Parts of a configuration that are put in force.
struct Ready {
    policy: Arc<Policy>,
    tls: Vec<Option<ListenerTls>>,
    state: state::StateSettings,
    in_force: InForce,
    changes: Vec<PolicyChange>,
    causes: ReloadCauses,
}

impl Ready {
    /// With all files that it stands in.
    fn read(process: &Process) -> Result<(Self, Vec<PathBuf>), ReloadFault> {
        let plan = Plan::read(&process.file, &process.shared.lasting).map_err(ReloadFault::Problems)?;
        let keys = needs_restart(&process.started_with, plan.config.raw());
        if !keys.is_empty() {
            return Err(ReloadFault::NeedsRestart(keys));
        }
        plan.warn();
        let mut files = plan.config.files_read();
        files.push(process.file.clone());
        let (policy, meaning) = (Arc::new(plan.policy), Arc::new(Meaning::of(&plan.config)));
        let in_force = InForce::of(&plan.config, &meaning, &files);
        let new = Compared { meaning, policy: Arc::clone(&policy) };
        let compared = process.compared().map(|old| {
            let changes = preview::differences(&old, &new, unix_seconds());
            let causes = ReloadCauses::between(&old, &new, &changes);
            (changes, causes)
        });
        let (changes, causes) = compared.unwrap_or_default();
        Ok((Self { policy, tls: plan.tls, state: plan.state, in_force, changes, causes }, files))
    }
}

impl InForce {
    fn of(config: &Config, meaning: &Meaning, files: &[PathBuf]) -> Self {
        let raw = config.raw();
        Self {
            meaning: meaning.kept(),
            listen: raw.listen.clone().into(),
            level: level(raw.log.level),
            guard: raw.reload.guard,
            digest: FilesDigest::of(files),
        }
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
