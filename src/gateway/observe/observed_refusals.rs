//! Who would be refused on routes in `mode: observe`: counts by client, route and word, over all workers, kept across
//! reloads and, in a file, across restarts.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use crate::auth::attribution::Attribution;
use crate::private_file;
use crate::secret::write_private;

/// Most rows.
const MOST: usize = 10_000;

/// Most rows of one caller, so that it cannot take those of all others.
const MOST_OF_ONE: usize = 1_000;

/// How often, since when and when last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Occurrences {
    /// How often.
    pub count: u64,
    /// The first time, in seconds since 1970.
    pub since: u64,
    /// The last time, in seconds since 1970.
    pub last_seen: u64,
}

/// One client that would be refused on one route for one reason.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservedRow {
    /// The name of the route.
    pub route: Arc<str>,
    /// The id of the client, or `key:` and the id of the API key, where the credential is authentic.
    pub client: Option<Arc<str>>,
    /// The word of the refusal.
    pub refusal: Cow<'static, str>,
    /// How often, since when and when last.
    #[serde(flatten)]
    pub seen: Occurrences,
}

/// The counts of a route that observes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservedRoute {
    /// Its name.
    pub route: Arc<str>,
    /// When it began to observe, in seconds since 1970.
    pub since: u64,
    /// Its requests since then.
    pub calls: u64,
    /// Those that would have been refused, and were forwarded.
    pub observed: u64,
    /// The last of them, in seconds since 1970.
    pub last_seen: Option<u64>,
    /// Those that were refused: their callers are in the share of `enforce`.
    pub refused: u64,
}

/// All counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ObservedCounts {
    /// The routes that observe.
    pub routes: Vec<ObservedRoute>,
    /// Who would be refused: by route, the most frequent first.
    pub rows: Vec<ObservedRow>,
    /// What had no place in the rows.
    pub others: Option<Occurrences>,
}

/// The counts, as they grow.
#[derive(Debug, Default)]
pub struct ObservedRefusals(Mutex<Counting>);

/// The rows of a caller, by route and word.
type OfOneCaller = HashMap<(Arc<str>, Cow<'static, str>), Occurrences>;

#[derive(Debug, Default)]
struct Counting {
    routes: HashMap<Arc<str>, Watched>,
    callers: HashMap<Option<Arc<str>>, OfOneCaller>,
    /// Number of rows of all callers.
    rows: usize,
    others: Option<Occurrences>,
}

/// A route that observes.
#[derive(Debug)]
struct Watched {
    counts: ObservedRoute,
    /// The requests that this process had counted when it began to watch.
    counted_before: u64,
}

impl Occurrences {
    fn once(now: u64) -> Self {
        Self { count: 1, since: now, last_seen: now }
    }

    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.since = self.since.min(other.since);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

impl ObservedRefusals {
    /// Counts on these routes from `now` on, in seconds since 1970, or goes on to; forgets all others. With each comes the
    /// number of its requests that this process has counted.
    pub fn watch<'a>(&self, routes: impl Iterator<Item = (&'a Arc<str>, u64)>, now: u64) {
        let mut counting = self.locked();
        let mut before = std::mem::take(&mut counting.routes);
        for (name, counted_before) in routes {
            let watched = before.remove(name).unwrap_or_else(|| Watched {
                counts: ObservedRoute {
                    route: Arc::clone(name),
                    since: now,
                    calls: 0,
                    observed: 0,
                    last_seen: None,
                    refused: 0,
                },
                counted_before,
            });
            counting.routes.insert(Arc::clone(name), watched);
        }
        let Counting { routes, callers, rows, others } = &mut *counting;
        callers.retain(|_, of_one| {
            of_one.retain(|(route, _), _| routes.contains_key(route));
            !of_one.is_empty()
        });
        *rows = callers.values().map(HashMap::len).sum();
        if routes.is_empty() {
            *others = None;
        }
    }

    /// Counts a request that would have been refused.
    pub fn note(&self, route: &Arc<str>, known: &Attribution, word: &'static str, time: SystemTime) {
        let now = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let key = || known.api_key.as_ref().map(|key| format!("key:{key}").into());
        let client = known.client.clone().or_else(key);
        let mut counting = self.locked();
        // Not of a request that was begun under an earlier policy.
        let Some(watched) = counting.routes.get_mut(route) else { return };
        watched.counts.observed = watched.counts.observed.saturating_add(1);
        watched.counts.last_seen = watched.counts.last_seen.max(Some(now));
        counting.add(client, (Arc::clone(route), Cow::Borrowed(word)), Occurrences::once(now));
    }

    /// Counts a request that was refused because its caller is in the share of `enforce`.
    pub fn refused(&self, route: &Arc<str>) {
        if let Some(watched) = self.locked().routes.get_mut(route) {
            watched.counts.refused = watched.counts.refused.saturating_add(1);
        }
    }

    /// All counts. `requests_of` are the requests of a route that this process has counted.
    pub fn counts(&self, requests_of: impl Fn(&Arc<str>) -> u64) -> ObservedCounts {
        let counting = self.locked();
        let row = |client: &Option<Arc<str>>, key: &(Arc<str>, Cow<'static, str>), seen: Occurrences| {
            let (route, refusal) = key.clone();
            ObservedRow { route, client: client.clone(), refusal, seen }
        };
        let rows = counting
            .callers
            .iter()
            .flat_map(|(client, of_one)| of_one.iter().map(|(key, seen)| row(client, key, *seen)));
        let mut rows: Vec<ObservedRow> = rows.collect();
        let routes = counting.routes.values().map(|watched| (watched.counts.clone(), watched.counted_before));
        let routes: Vec<(ObservedRoute, u64)> = routes.collect();
        let others = counting.others;
        drop(counting);
        rows.sort_by(|one, other| {
            let frequent = |row: &ObservedRow| std::cmp::Reverse(row.seen.count);
            (&one.route, frequent(one), &one.client, &one.refusal).cmp(&(
                &other.route,
                frequent(other),
                &other.client,
                &other.refusal,
            ))
        });
        let in_all = |(counts, counted_before): (ObservedRoute, u64)| {
            let more = requests_of(&counts.route).saturating_sub(counted_before);
            let calls = counts.calls.saturating_add(more);
            ObservedRoute { calls, ..counts }
        };
        let mut routes: Vec<ObservedRoute> = routes.into_iter().map(in_all).collect();
        routes.sort_by(|one, other| one.route.cmp(&other.route));
        ObservedCounts { routes, rows, others }
    }

    /// Adds what an earlier run has counted on routes that still observe. A file that is not there says nothing.
    pub fn read(&self, file: &Path) {
        let kept = match private_file::read(file, file.parent().unwrap_or(Path::new(""))) {
            Ok(text) => serde_json::from_slice::<ObservedCounts>(&text).map_err(std::io::Error::from),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        match kept {
            Ok(kept) => self.locked().go_on_from(kept),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "cannot read what was observed before: counting from now on");
            }
        }
    }

    /// Writes the counts for a later run; without a route that observes there are none. To lose them costs nothing but
    /// that knowledge.
    pub fn write(&self, file: &Path, requests_of: impl Fn(&Arc<str>) -> u64) {
        let counts = self.counts(requests_of);
        let written = if counts.routes.is_empty() {
            std::fs::remove_file(file).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        } else {
            let text = serde_json::to_vec(&counts).map_err(std::io::Error::from);
            text.and_then(|text| write_private(file, &text))
        };
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), %error, "cannot write what was observed");
        }
    }

    fn locked(&self) -> MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting {
    fn add(&mut self, client: Option<Arc<str>>, key: (Arc<str>, Cow<'static, str>), seen: Occurrences) {
        let is_full = self.rows >= MOST;
        let known = self.callers.get_mut(&client);
        let is_full = is_full || known.as_ref().is_some_and(|of_one| of_one.len() >= MOST_OF_ONE);
        match known.and_then(|of_one| of_one.get_mut(&key)) {
            Some(row) => row.add(seen),
            None if is_full => match &mut self.others {
                Some(others) => others.add(seen),
                others => *others = Some(seen),
            },
            None => {
                self.callers.entry(client).or_default().insert(key, seen);
                self.rows += 1;
            }
        }
    }

    fn go_on_from(&mut self, kept: ObservedCounts) {
        for earlier in kept.routes {
            let Some(Watched { counts, .. }) = self.routes.get_mut(&earlier.route) else { continue };
            counts.since = counts.since.min(earlier.since);
            counts.calls = counts.calls.saturating_add(earlier.calls);
            counts.observed = counts.observed.saturating_add(earlier.observed);
            counts.last_seen = counts.last_seen.max(earlier.last_seen);
            counts.refused = counts.refused.saturating_add(earlier.refused);
        }
        for ObservedRow { route, client, refusal, seen } in kept.rows {
            if self.routes.contains_key(&route) {
                self.add(client, (route, refusal), seen);
            }
        }
        if let Some(seen) = kept.others.filter(|_| !self.routes.is_empty()) {
            match &mut self.others {
                Some(others) => others.add(seen),
                others => *others = Some(seen),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn known(client: &str) -> Attribution {
        Attribution { client: Some(client.into()), ..Attribution::default() }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn neither_all_callers_nor_one_make_rows_without_end_and_what_has_no_place_is_counted() {
        let observed = ObservedRefusals::default();
        let routes: Vec<Arc<str>> = (0..2 * MOST_OF_ONE).map(|number| format!("route-{number}").into()).collect();
        observed.watch(routes.iter().map(|route| (route, 0)), 1);
        for route in &routes {
            observed.note(route, &known("greedy"), "scope", at(5));
        }
        let counts = observed.counts(|_| 0);
        assert_eq!((counts.rows.len(), counts.others.unwrap().count), (MOST_OF_ONE, MOST_OF_ONE as u64));
        for number in 0..2 * MOST {
            observed.note(&routes[0], &known(&format!("client-{number}")), "scope", at(7));
        }
        let counts = observed.counts(|_| 0);
        let others = counts.others.unwrap();
        assert_eq!((counts.rows.len(), others.since, others.last_seen), (MOST, 5, 7));
        let all: u64 = counts.rows.iter().map(|row| row.seen.count).sum();
        assert_eq!(all + others.count, (2 * MOST_OF_ONE + 2 * MOST) as u64);
        let first = counts.routes.iter().find(|route| *route.route == *"route-0").unwrap();
        assert_eq!(first.observed, 1 + 2 * MOST as u64, "the line of a route misses nothing");
    }

    #[test]
    fn what_an_earlier_run_has_written_goes_on_and_a_broken_file_does_not_stop_the_start() {
        let directory = std::env::temp_dir().join(format!("wicketgate-observed-{}", std::process::id()));
        let file = directory.join("observed-refusals.json");
        let [kept, gone]: [Arc<str>; 2] = ["kept".into(), "gone".into()];
        let first = ObservedRefusals::default();
        first.watch([(&kept, 3), (&gone, 0)].into_iter(), 10);
        first.note(&kept, &known("asapp"), "scope", at(20));
        first.note(&gone, &Attribution::default(), "no_credential", at(20));
        first.refused(&kept);
        first.write(&file, |_| 10);
        let second = ObservedRefusals::default();
        second.watch([(&kept, 0)].into_iter(), 100);
        second.read(&file);
        second.note(&kept, &known("asapp"), "scope", at(120));
        let counts = second.counts(|_| 5);
        let [route, row] = [serde_json::to_value(&counts.routes).unwrap(), serde_json::to_value(&counts.rows).unwrap()];
        let route_said = serde_json::json!([
            {"route": "kept", "since": 10, "calls": 12, "observed": 2, "last_seen": 120, "refused": 1}
        ]);
        let row_said = serde_json::json!([
            {"route": "kept", "client": "asapp", "refusal": "scope", "count": 2, "since": 20, "last_seen": 120}
        ]);
        assert_eq!((route, row), (route_said, row_said));
        std::fs::write(&file, "{\"routes\": [").unwrap();
        second.read(&file);
        assert_eq!(second.counts(|_| 5).routes[0].calls, 12);
        second.watch(std::iter::empty(), 200);
        second.write(&file, |_| 5);
        assert!(!file.exists(), "nothing observes any more");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
