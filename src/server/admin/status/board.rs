//! The board: keeps the history, gathers the report for all who look at the same time, and sends news to open pages.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::events::{StatusEvents, Viewers};
use super::gather::{KeyList, Process, gather};
use super::history::History;
use super::page::sections;
use super::report::StatusReport;
use crate::gateway::Shared;
use crate::gateway::observe::recent_refusals::RecentRefusal;
use crate::server::Phase;

/// How long one report serves all who ask.
const FRESH: Duration = Duration::from_millis(900);

/// How long the versions of keys stay as they were gathered, unless the configuration changes.
const KEYS_FRESH: Duration = Duration::from_secs(10);

/// The status of this process, for all who look.
pub struct StatusBoard {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    process: Process,
    history: Mutex<History>,
    /// When they were gathered, of which policy, and what they are.
    keys: Mutex<Option<(Instant, u64, Arc<KeyList>)>>,
    /// When it was gathered, after how many reloads, and what it is.
    latest: tokio::sync::Mutex<Option<(Instant, u64, Arc<StatusReport>)>>,
    viewers: Viewers,
}

impl StatusBoard {
    /// Begins to keep the history, on `control`.
    pub fn start(control: &Handle, shared: Arc<Shared>, phase: watch::Receiver<Phase>) -> Arc<Self> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let board = Arc::new(Self {
            shared,
            phase,
            process: Process { host, started: unix_seconds() },
            history: Mutex::default(),
            keys: Mutex::default(),
            latest: tokio::sync::Mutex::default(),
            viewers: Viewers::default(),
        });
        control.spawn(keep(Arc::clone(&board)));
        board
    }

    /// The report, at most a second old and of the configuration in force; `None` while the process ends. One at a time is gathered, where nothing waits for it.
    pub async fn report(self: &Arc<Self>) -> Option<Arc<StatusReport>> {
        let board = Arc::clone(self);
        // Also where whoever asks has gone: the next one would begin once more.
        let gathering = tokio::spawn(async move {
            let mut latest = board.latest.lock().await;
            let reloads = board.shared.metrics.reloads().count();
            if let Some((time, of, report)) = &*latest
                && time.elapsed() < FRESH
                && *of == reloads
            {
                return Some(Arc::clone(report));
            }
            let gathering = Arc::clone(&board);
            let report = Arc::new(tokio::task::spawn_blocking(move || gathering.gather()).await.ok()?);
            *latest = Some((Instant::now(), reloads, Arc::clone(&report)));
            Some(report)
        });
        gathering.await.ok().flatten()
    }

    /// Events for one more page, until `end`; `None` where too many are open.
    pub(in crate::server::admin) fn watch(&self, end: Instant) -> Option<StatusEvents> {
        self.viewers.enter(end)
    }

    /// The recent refusal of a request; of several with one id that of this time, in milliseconds since 1970.
    pub(in crate::server::admin) fn refusal(&self, request_id: &str, time_ms: Option<u64>) -> Option<RecentRefusal> {
        let refusals = &self.shared.refusals;
        let mut found = match time_ms {
            None => refusals.find(request_id)?,
            Some(time_ms) => {
                let mut all = refusals.latest(usize::MAX).into_iter();
                all.find(|refusal| refusal.request_id == request_id && refusal.time_ms == time_ms)?
            }
        };
        found.backend = found.backend.or_else(|| self.backend_of(&found.route));
        Some(found)
    }

    /// The name of the backend of a route that has one alone.
    fn backend_of(&self, route: &str) -> Option<Arc<str>> {
        let policy = self.shared.policy();
        let route = policy.routes.iter().find(|it| &*it.name == route)?;
        (route.direct.is_none() && route.weighted.is_none()).then(|| Arc::from(&*route.backend.name))
    }

    fn gather(&self) -> StatusReport {
        let now = unix_seconds();
        let keys = self.keys(now);
        gather(&self.shared, &self.process, *self.phase.borrow(), &locked(&self.history), &keys, now)
    }

    fn keys(&self, now: u64) -> Arc<KeyList> {
        let generation = self.shared.lasting.generation.load(Ordering::Acquire);
        let mut known = locked(&self.keys);
        if let Some((time, of, keys)) = &*known
            && *of == generation
            && time.elapsed() < KEYS_FRESH
        {
            return Arc::clone(keys);
        }
        let keys = Arc::new(KeyList::gather(&self.shared, now));
        *known = Some((Instant::now(), generation, Arc::clone(&keys)));
        keys
    }
}

/// Notes each second, and tells open pages.
async fn keep(board: Arc<StatusBoard>) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        if *board.phase.borrow() == Phase::Leaving {
            return;
        }
        let by_route = locked(&board.history).wants_routes();
        let traffic = board.shared.metrics.traffic(by_route);
        locked(&board.history).note(traffic);
        if board.viewers.is_empty() {
            continue;
        }
        let Some(report) = board.report().await else { continue };
        let telling = Arc::clone(&board);
        let told = tokio::task::spawn_blocking(move || {
            telling.viewers.send(sections(&report));
        });
        let _ = told.await;
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
