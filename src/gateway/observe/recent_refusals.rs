//! The most recent refusals, in memory: what `wicketgate explain ID` and the status page tell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::explanation::Explanation;

/// Most refusals that are kept.
const MOST: usize = 1_024;

/// Characters of a part of an id that finds a refusal.
const SHORTEST: usize = 8;

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
    /// The backend that was chosen, on a route with several.
    pub backend: Option<Arc<str>>,
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

    /// The refusal of this request, if it is still kept. At least [`SHORTEST`] characters at the beginning or the end of
    /// its id are enough, where no other id has them there.
    pub fn find(&self, request_id: &str) -> Option<RecentRefusal> {
        let kept = self.locked();
        if let Some(exact) = kept.iter().rev().find(|refusal| refusal.request_id == request_id) {
            return Some(exact.clone());
        }
        let is_alike = |id: &str| id.starts_with(request_id) || id.ends_with(request_id);
        let mut alike = kept.iter().rev().filter(|refusal| is_alike(&refusal.request_id));
        let first = alike.next().filter(|_| request_id.len() >= SHORTEST)?;
        alike.all(|other| other.request_id == first.request_id).then(|| first.clone())
    }

    /// The last `most`, newest first.
    pub fn latest(&self, most: usize) -> Vec<RecentRefusal> {
        self.locked().iter().rev().take(most).cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<RecentRefusal>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn refusal(id: &str) -> RecentRefusal {
        RecentRefusal {
            request_id: id.to_owned(),
            time_ms: 1,
            route: "profile".into(),
            method: "GET",
            status: 403,
            refusal: "scope",
            code: "403-1",
            observed: false,
            client_address: "192.0.2.7".to_owned(),
            client: None,
            api_key: None,
            customer: None,
            backend: None,
            backend_fault: None,
            explanation: None,
        }
    }

    #[test]
    fn a_part_of_an_id_finds_it_where_it_is_long_enough_and_of_one_id_alone() {
        let kept = RecentRefusals::default();
        for id in ["01234567-aaaa-first-one", "01234567-aaaa-other-two", "01234567", "twice-the-same", "twice-the-same"]
        {
            kept.note(refusal(id));
        }
        let found = |part: &str| kept.find(part).map(|refusal| refusal.request_id);
        assert_eq!(found("first-one").as_deref(), Some("01234567-aaaa-first-one"));
        assert_eq!(found("01234567-aaaa-o").as_deref(), Some("01234567-aaaa-other-two"));
        assert_eq!(found("01234567").as_deref(), Some("01234567"), "the whole id comes first");
        assert_eq!(found("the-same").as_deref(), Some("twice-the-same"));
        for unknown in ["01234567-", "rst-one", "aaaa-first", ""] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }
}
