//! The most recent refusals, in memory: what `wicketgate explain ID` and the status page tell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::explanation::Explanation;

/// Most refusals that are kept.
const MOST: usize = 1_024;

/// One refusal, or what a route in `mode: observe` let through.
#[derive(Debug, Clone, Serialize)]
pub struct RecentRefusal {
    /// The id that the caller got.
    pub request_id: String,
    /// The time of arrival, in milliseconds since 1970.
    pub time_ms: u64,
    /// The name of the route or endpoint; `none` without one.
    pub route: Arc<str>,
    /// The method, from a closed set.
    pub method: &'static str,
    /// The status of the response.
    pub status: u16,
    /// The word of the refusal.
    pub refusal: &'static str,
    /// The code that the caller got, or would have got.
    pub code: &'static str,
    /// True if it was let through all the same.
    pub observed: bool,
    /// The address of the caller.
    pub client_address: String,
    /// The client, where its credential is authentic.
    pub client: Option<Arc<str>>,
    /// The id of the API key, where it is authentic.
    pub api_key: Option<Arc<str>>,
    /// The opaque identifier of the customer, where the credential is authentic.
    pub customer: Option<String>,
    /// What the backend did, where that is why: the server, and a phrase of ours.
    pub backend_fault: Option<String>,
    /// Each check; `None` where there were too many refusals to explain all.
    #[serde(skip)]
    pub explanation: Option<Arc<Explanation>>,
}

/// The most recent refusals of all workers.
#[derive(Debug, Default)]
pub struct RecentRefusals {
    kept: Mutex<VecDeque<RecentRefusal>>,
}

impl RecentRefusals {
    /// Keeps one more; the oldest goes.
    pub fn note(&self, refusal: RecentRefusal) {
        let mut kept = self.locked();
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(refusal);
    }

    /// The refusal of this request, if it is still kept.
    pub fn find(&self, request_id: &str) -> Option<RecentRefusal> {
        self.locked().iter().rev().find(|refusal| refusal.request_id == request_id).cloned()
    }

    /// The last `most`, newest first.
    pub fn latest(&self, most: usize) -> Vec<RecentRefusal> {
        self.locked().iter().rev().take(most).cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<RecentRefusal>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
