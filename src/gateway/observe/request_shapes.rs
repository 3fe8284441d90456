//! Shapes of the last hour's requests: who called what, as counts and never as values. A new configuration can be held
//! against them before it is in force.
//!
//! A shape that was among the latest is found by comparing pointers. Only another one is hashed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::attribution::Attribution;

/// Length of a slot.
const SLOT: Duration = Duration::from_secs(300);

/// Slots of an hour, and the one that is being filled.
const SLOTS: usize = 13;

/// Most shapes of a worker; requests of others are only counted together.
const MOST: usize = 4_096;

/// Shapes that are looked for first.
const LATEST: usize = 8;

/// The shape of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestShape {
    /// The route's name; `none` without one.
    pub route: Arc<str>,
    /// The client, where its credential was authentic.
    pub client: Option<Arc<str>>,
    /// The id of the API key, where it was authentic.
    pub api_key: Option<Arc<str>>,
    /// The method, from a closed set.
    pub method: &'static str,
    /// True if a customer's credential was authentic.
    pub customer: bool,
    /// The word of the refusal, or empty.
    pub refusal: &'static str,
    /// The word of the refusal that an observing route did not carry out, or empty.
    pub observed: &'static str,
}

impl RequestShape {
    /// Returns whether no credential was authentic.
    pub fn is_of_stranger(&self) -> bool {
        self.client.is_none() && self.api_key.is_none() && !self.customer
    }
}

/// The word and method of all refused requests with a credential that is not authentic: whoever makes them can make many
/// shapes.
pub const STRANGER: &str = "stranger";

/// The same for requests that have shown no credential.
pub const NOBODY: &str = "nobody";

/// The word for a refusal of a caller who is not known: whether it is about a credential that was shown.
fn of_stranger(word: &str) -> &'static str {
    const BEGINNINGS: [&str; 5] = ["api_key_", "client_token_", "customer_token_", "session_", "dpop_"];
    let is_shown = !word.ends_with("_missing") && BEGINNINGS.iter().any(|beginning| word.starts_with(beginning));
    if is_shown { STRANGER } else { NOBODY }
}

/// The shape of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShapeOf<'a> {
    pub(crate) route: &'a Arc<str>,
    pub(crate) client: Option<&'a Arc<str>>,
    pub(crate) api_key: Option<&'a Arc<str>>,
    pub(crate) method: &'static str,
    pub(crate) customer: bool,
    pub(crate) refusal: &'static str,
    pub(crate) observed: &'static str,
}

impl<'a> ShapeOf<'a> {
    /// The shape of a request of these callers, which was refused for the first of both words or would have been for the
    /// second; empty where it was not.
    pub(crate) fn request(
        route: &'a Arc<str>,
        method: &'static str,
        known: &'a Attribution,
        [refusal, observed]: [&'static str; 2],
    ) -> Self {
        let Attribution { client, api_key, customer, .. } = known;
        let (client, api_key, customer) = (client.as_ref(), api_key.as_ref(), customer.is_some());
        Self { route, client, api_key, method, customer, refusal, observed }
    }
}

impl ShapeOf<'_> {
    fn is(&self, shape: &RequestShape) -> bool {
        let is_same = |one: Option<&Arc<str>>, other: Option<&Arc<str>>| match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        Arc::ptr_eq(self.route, &shape.route)
            && is_same(self.client, shape.client.as_ref())
            && is_same(self.api_key, shape.api_key.as_ref())
            && std::ptr::eq(self.method, shape.method)
            && self.customer == shape.customer
            && std::ptr::eq(self.refusal, shape.refusal)
            && std::ptr::eq(self.observed, shape.observed)
    }

    fn owned(&self) -> RequestShape {
        RequestShape {
            route: Arc::clone(self.route),
            client: self.client.cloned(),
            api_key: self.api_key.cloned(),
            method: self.method,
            customer: self.customer,
            refusal: self.refusal,
            observed: self.observed,
        }
    }
}

/// The shapes of all workers.
#[derive(Debug)]
pub struct RequestShapes {
    begin: Instant,
    workers: Mutex<Vec<Arc<WorkerShapes>>>,
}

impl Default for RequestShapes {
    fn default() -> Self {
        Self { begin: Instant::now(), workers: Mutex::default() }
    }
}

impl RequestShapes {
    /// The shapes of a new worker.
    pub(crate) fn worker(&self) -> Arc<WorkerShapes> {
        let worker = Arc::new(WorkerShapes { begin: self.begin, counted: Mutex::default() });
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&worker));
        worker
    }

    /// The requests of the last hour, by shape, and the number of those whose shapes were too many.
    pub fn last_hour(&self) -> (HashMap<RequestShape, u64>, u64) {
        self.sum(|counted| counted.slots.iter().map(|count| u64::from(*count)).sum())
    }

    /// All requests of shapes that are known, by shape. Counts only grow, but for shapes of an hour ago, which go.
    pub fn totals(&self) -> HashMap<RequestShape, u64> {
        self.sum(|counted| counted.total).0
    }

    fn sum(&self, of: impl Fn(&ShapeCount) -> u64) -> (HashMap<RequestShape, u64>, u64) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut sum, mut others) = (HashMap::new(), 0);
        let slot = slot_of(self.begin, Instant::now());
        for worker in workers {
            let mut counted = worker.locked();
            counted.turn_to(slot);
            others += counted.others.iter().map(|count| u64::from(*count)).sum::<u64>();
            for shape in &counted.shapes {
                let count = of(shape);
                if count > 0 {
                    *sum.entry(shape.shape.clone()).or_default() += count;
                }
            }
        }
        (sum, others)
    }
}

/// The shapes of one worker.
#[derive(Debug)]
pub(crate) struct WorkerShapes {
    begin: Instant,
    counted: Mutex<CountedShapes>,
}

#[derive(Debug, Default)]
struct CountedShapes {
    /// The number of the slot that is being filled, since the begin.
    slot: u64,
    shapes: Vec<ShapeCount>,
    /// Places in `shapes`.
    latest: [usize; LATEST],
    /// The next of `latest` to be replaced.
    next: usize,
    places: HashMap<RequestShape, usize, foldhash::fast::RandomState>,
    /// Requests whose shapes were too many.
    others: [u32; SLOTS],
}

#[derive(Debug)]
struct ShapeCount {
    shape: RequestShape,
    slots: [u32; SLOTS],
    total: u64,
}

impl WorkerShapes {
    /// Counts one request, which has ended `now`.
    pub(crate) fn count(&self, shape: ShapeOf<'_>, now: Instant) {
        let mut counted = self.locked();
        let slot = slot_of(self.begin, now);
        if slot > counted.slot {
            counted.turn_to(slot);
        }
        counted.count(shape);
    }

    fn locked(&self) -> MutexGuard<'_, CountedShapes> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot_of(begin: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(begin).as_secs() / SLOT.as_secs()
}

impl CountedShapes {
    fn count(&mut self, mut shape: ShapeOf<'_>) {
        if !shape.refusal.is_empty() && shape.client.is_none() && shape.api_key.is_none() && !shape.customer {
            let word = of_stranger(shape.refusal);
            (shape.method, shape.refusal) = (word, word);
        }
        let slot = (self.slot % SLOTS as u64) as usize;
        let is_it = |place: &&usize| self.shapes.get(**place).is_some_and(|known| shape.is(&known.shape));
        let place = match self.latest.iter().find(is_it) {
            Some(place) => Some(*place),
            None => self.place(shape.owned()),
        };
        match place.and_then(|place| self.shapes.get_mut(place)) {
            Some(known) => {
                known.slots[slot] = known.slots[slot].saturating_add(1);
                known.total += 1;
            }
            None => self.others[slot] = self.others[slot].saturating_add(1),
        }
    }

    /// The place of a shape that is not among the latest; `None` if there are too many. Those without an authentic
    /// credential leave half of the room to others.
    fn place(&mut self, shape: RequestShape) -> Option<usize> {
        let place = match self.places.get(&shape) {
            Some(place) => {
                // By now the same names may stand elsewhere: after a reload.
                self.shapes[*place].shape = shape;
                *place
            }
            None if self.shapes.len() >= if shape.is_of_stranger() { MOST / 2 } else { MOST } => return None,
            None => {
                self.places.insert(shape.clone(), self.shapes.len());
                self.shapes.push(ShapeCount { shape, slots: [0; SLOTS], total: 0 });
                self.shapes.len() - 1
            }
        };
        self.latest[self.next] = place;
        self.next = (self.next + 1) % LATEST;
        Some(place)
    }

    /// Empties the slots that begin, and forgets shapes without a request in the last hour.
    fn turn_to(&mut self, slot: u64) {
        if slot <= self.slot {
            return;
        }
        for begins in (self.slot + 1..=slot).rev().take(SLOTS) {
            let begins = (begins % SLOTS as u64) as usize;
            self.others[begins] = 0;
            self.shapes.iter_mut().for_each(|shape| shape.slots[begins] = 0);
        }
        self.slot = slot;
        self.shapes.retain(|shape| shape.slots.iter().any(|count| *count > 0));
        self.places = self.shapes.iter().zip(0..).map(|(known, place)| (known.shape.clone(), place)).collect();
        self.latest = [0; LATEST];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    fn shape<'a>(route: &'a Arc<str>, client: Option<&'a Arc<str>>) -> ShapeOf<'a> {
        ShapeOf { route, client, api_key: None, method: "GET", customer: false, refusal: "", observed: "" }
    }

    #[test]
    fn requests_of_the_last_hour_are_counted_and_older_ones_are_not() {
        let shapes = RequestShapes::default();
        let (worker, route, client): (_, Arc<str>, Arc<str>) = (shapes.worker(), "profile".into(), "asapp".into());
        for minutes in [0, 10, 59, 64, 70] {
            worker.count(shape(&route, Some(&client)), shapes.begin + Duration::from_secs(60 * minutes));
        }
        let counted = worker.locked();
        let counts: u32 = counted.shapes.iter().flat_map(|shape| shape.slots).sum();
        assert_eq!((counts, counted.shapes.len()), (4, 1));
    }

    #[test]
    fn the_same_names_are_one_shape_wherever_they_stand() {
        let shapes = RequestShapes::default();
        let workers = [shapes.worker(), shapes.worker()];
        for worker in &workers {
            for _ in 0..100 {
                let (route, client): (Arc<str>, Arc<str>) = ("profile".into(), "asapp".into());
                worker.count(shape(&route, Some(&client)), shapes.begin);
                worker.count(shape(&route, None), shapes.begin);
            }
        }
        let (sum, others) = shapes.last_hour();
        assert_eq!((sum.len(), sum.values().copied().collect::<Vec<_>>(), others), (2, vec![200, 200], 0));
        assert_eq!(shapes.totals(), sum);
    }

    #[test]
    fn shapes_are_bounded_and_the_rest_is_counted_together() {
        let shapes = RequestShapes::default();
        let (worker, route): (_, Arc<str>) = (shapes.worker(), "profile".into());
        for number in 0..MOST + 50 {
            let client: Arc<str> = format!("client-{number}").into();
            worker.count(shape(&route, Some(&client)), shapes.begin);
        }
        let (sum, others) = shapes.last_hour();
        assert_eq!((sum.len(), others), (MOST, 50));
    }
}
