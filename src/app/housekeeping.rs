//! Periodic work of the process: memory, counters, ended sessions, the last uses of keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::notes::Notes;
use super::state_owner::StateOwner;
use super::unix_seconds;
use crate::gateway::Shared;
use crate::process_log;

/// Interval of the check of available memory.
const LOOK: Duration = Duration::from_millis(250);

/// Interval of the sweep of ended sessions.
const SWEEP: Duration = Duration::from_secs(60);

/// Starts it on `control`.
pub(super) fn start(control: &Runtime, shared: &Arc<Shared>, notes: Notes, owner: StateOwner) {
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
            let (sweeping, notes, owner) = (Arc::clone(&shared), notes.clone(), owner.clone());
            // Of many keys, or on a disk that hangs, this takes long.
            let swept = tokio::task::spawn_blocking(move || {
                sweeping.lasting.forget_gone();
                sweeping.forget_idle_limits();
                notes.write(&sweeping);
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
