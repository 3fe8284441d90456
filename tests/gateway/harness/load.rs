//! Calls that go on while something changes; none of them may be refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::client::{Connection, Request};

/// How many calls a connection serves: old and new ones both see the change.
const PER_CONNECTION: usize = 5;

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    caller: thread::JoinHandle<()>,
}

impl Load {
    /// Sends what `next` makes, one after another, and wants 200 each time.
    pub(crate) fn start(mut next: impl FnMut() -> Request + Send + 'static) -> Self {
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let caller = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let mut connection = None;
                for _ in 0..PER_CONNECTION {
                    let request = next();
                    let connection = connection.get_or_insert_with(|| Connection::open(request.address));
                    let answer = request.send_on(connection);
                    let call = counted.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(answer.status, 200, "call {call}: {}", answer.text());
                }
            }
        });
        let load = Self { stop, calls, caller };
        load.goes_on();
        load
    }

    /// The same call again and again.
    pub(crate) fn of(request: Request) -> Self {
        Self::start(move || request.clone())
    }

    /// Waits until more calls have begun and ended since now, on old connections and on new ones.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let enough = self.calls.load(Ordering::SeqCst) + 2 * PER_CONNECTION + 1;
        let until = Instant::now() + DEADLINE;
        while self.calls.load(Ordering::SeqCst) < enough {
            assert!(!self.caller.is_finished(), "a call was refused or lost: its own panic stands above");
            assert!(Instant::now() < until, "the load has stopped");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// After some more calls it ends: nothing was refused.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.goes_on();
        self.stop.store(true, Ordering::SeqCst);
        self.caller.join().expect("a call was refused or lost");
    }
}
