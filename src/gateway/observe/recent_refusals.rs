//! The most recent refusals, in memory: what `wicketgate explain ID` and the status page tell.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::explanation::Explanation;

/// Most refusals of callers with an authentic client or API key.
const MOST_OF_KNOWN: usize = 768;
/// Most of one of them.
const MOST_OF_ONE: usize = MOST_OF_KNOWN / 2;
/// Most refusals of strangers.
const MOST_OF_STRANGERS: usize = 256;

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

impl RecentRefusal {
    /// The authentic client or API key; `None`: a stranger.
    fn owner(&self) -> Option<&Arc<str>> {
        self.client.as_ref().or(self.api_key.as_ref())
    }
}

/// The most recent refusals of all workers. Strangers cannot push out those of known callers, nor one caller those of all
/// others.
#[derive(Debug, Default)]
pub struct RecentRefusals {
    kept: Mutex<KeptRefusals>,
}

#[derive(Debug, Default)]
struct KeptRefusals {
    /// The number of the next one.
    next: u64,
    known: VecDeque<(u64, RecentRefusal)>,
    strangers: VecDeque<(u64, RecentRefusal)>,
    /// How many of the known ones each caller has.
    held: HashMap<Arc<str>, usize>,
}

impl RecentRefusals {
    /// Keeps one more; the oldest of its share goes.
    pub fn note(&self, refusal: RecentRefusal) {
        let mut kept = self.locked();
        let number = kept.next;
        kept.next += 1;
        if let Some(owner) = refusal.owner().cloned() {
            kept.make_room(&owner);
            *kept.held.entry(owner).or_default() += 1;
            kept.known.push_back((number, refusal));
            return;
        }
        if kept.strangers.len() >= MOST_OF_STRANGERS {
            kept.strangers.pop_front();
        }
        kept.strangers.push_back((number, refusal));
    }

    /// The refusal of this request, if it is still kept. Callers choose ids, and several may have the same: those of
    /// known callers come first, then the newest. At least [`SHORTEST`] characters at the beginning or the end of its id
    /// are enough, where no other id has them there.
    pub fn find(&self, request_id: &str) -> Option<RecentRefusal> {
        if let Some(exact) = self.all_of(request_id).into_iter().next() {
            return Some(exact);
        }
        let kept = self.locked();
        let is_alike = |id: &str| id.starts_with(request_id) || id.ends_with(request_id);
        let all = kept.known.iter().rev().chain(kept.strangers.iter().rev()).map(|(_, refusal)| refusal);
        let mut alike = all.filter(|refusal| is_alike(&refusal.request_id));
        let first = alike.next().filter(|_| request_id.len() >= SHORTEST)?;
        alike.all(|other| other.request_id == first.request_id).then(|| first.clone())
    }

    /// All refusals with this id: first those of known callers, each share newest first.
    pub fn all_of(&self, request_id: &str) -> Vec<RecentRefusal> {
        let kept = self.locked();
        let all = kept.known.iter().rev().chain(kept.strangers.iter().rev());
        all.filter(|(_, refusal)| refusal.request_id == request_id).map(|(_, refusal)| refusal.clone()).collect()
    }

    /// The last `most`, newest first.
    pub fn latest(&self, most: usize) -> Vec<RecentRefusal> {
        let kept = self.locked();
        let (mut known, mut strangers) = (kept.known.iter().rev().peekable(), kept.strangers.iter().rev().peekable());
        let newest = std::iter::from_fn(|| {
            let number = |next: Option<&&(u64, RecentRefusal)>| next.map(|(number, _)| *number);
            if number(known.peek()) > number(strangers.peek()) { known.next() } else { strangers.next() }
        });
        newest.take(most).map(|(_, refusal)| refusal.clone()).collect()
    }

    fn locked(&self) -> MutexGuard<'_, KeptRefusals> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptRefusals {
    /// Makes room for one more of a known caller.
    fn make_room(&mut self, owner: &Arc<str>) {
        let oldest = if self.held.get(owner).is_some_and(|held| *held >= MOST_OF_ONE) {
            self.known.iter().position(|(_, refusal)| refusal.owner() == Some(owner))
        } else {
            (self.known.len() >= MOST_OF_KNOWN).then_some(0)
        };
        let gone = oldest.and_then(|at| self.known.remove(at));
        if let Some(owner) = gone.as_ref().and_then(|(_, refusal)| refusal.owner())
            && let Some(held) = self.held.get_mut(owner)
        {
            *held -= 1;
            if *held == 0 {
                self.held.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(id: &str, client: Option<&str>, time_ms: u64) -> RecentRefusal {
        RecentRefusal {
            request_id: id.to_owned(),
            time_ms,
            route: "none".into(),
            method: "GET",
            status: 404,
            refusal: "no_route",
            code: "404-01",
            observed: false,
            client_address: "192.0.2.1".to_owned(),
            client: client.map(Into::into),
            api_key: None,
            customer: None,
            backend: None,
            backend_fault: None,
            explanation: None,
        }
    }

    #[test]
    fn neither_strangers_nor_one_client_push_out_those_of_others() {
        let recent = RecentRefusals::default();
        recent.note(refusal("mine", Some("quiet"), 1));
        for time_ms in 2..5_000 {
            recent.note(refusal("flood", None, time_ms));
            recent.note(refusal("loud", Some("loud"), time_ms));
        }
        assert!(recent.find("mine").is_some());
        assert_eq!(recent.all_of("flood").len(), MOST_OF_STRANGERS);
        assert_eq!(recent.all_of("loud").len(), MOST_OF_ONE);
        for number in 0..2_000 {
            recent.note(refusal("many", Some(&format!("c{number}")), number));
        }
        let kept = recent.locked();
        assert_eq!((kept.known.len(), kept.held.len()), (MOST_OF_KNOWN, MOST_OF_KNOWN));
    }

    #[test]
    fn a_stranger_with_the_id_of_another_does_not_stand_before_it_and_the_latest_are_in_order() {
        let recent = RecentRefusals::default();
        for (id, client, time_ms) in [("a", Some("c"), 1), ("a", None, 2), ("b", Some("c"), 3), ("a", None, 4)] {
            recent.note(refusal(id, client, time_ms));
        }
        let times = |all: Vec<RecentRefusal>| all.iter().map(|refusal| refusal.time_ms).collect::<Vec<_>>();
        assert_eq!(recent.find("a").map(|refusal| refusal.time_ms), Some(1));
        assert_eq!(times(recent.all_of("a")), [1, 4, 2]);
        assert_eq!(times(recent.latest(10)), [4, 3, 2, 1]);
        assert_eq!(times(recent.latest(2)), [4, 3]);
    }

    #[test]
    fn a_part_of_an_id_finds_it_where_it_is_long_enough_and_of_one_id_alone() {
        let kept = RecentRefusals::default();
        for id in ["01234567-aaaa-first-one", "01234567-aaaa-other-two", "01234567", "twice-the-same", "twice-the-same"]
        {
            kept.note(refusal(id, None, 1));
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
