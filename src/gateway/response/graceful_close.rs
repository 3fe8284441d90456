//! The orderly end of WebSockets and event streams while the process drains. They end one by one between half and three
//! quarters of the grace time, so that their callers do not all come back at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Fractions of the grace time: the first end, the last end, and the end of those without a good place to end at.
const PARTS: [f32; 3] = [0.5, 0.75, 0.9];

/// The end of all WebSockets and event streams of a worker.
#[derive(Default)]
pub(crate) struct Farewell {
    times: Cell<Option<[Instant; 3]>>,
    is_near: Notify,
}

impl Farewell {
    /// Begins the drain; everything is cut off after `grace`.
    pub(crate) fn begin(&self, grace: Duration) {
        let now = Instant::now();
        self.times.set(Some(PARTS.map(|part| now + grace.mul_f32(part))));
        self.is_near.notify_waiters();
    }

    /// Waits until one of them should look for a good place to end at.
    pub(crate) async fn is_due(self: Rc<Self>) {
        let [first, last, _] = self.times().await;
        let place = getrandom::u32().unwrap_or_default() as f32 / u32::MAX as f32;
        sleep_until(first + (last - first).mul_f32(place)).await;
    }

    /// Waits until it must end anywhere.
    pub(crate) async fn is_over(self: Rc<Self>) {
        let [.., over] = self.times().await;
        sleep_until(over).await;
    }

    async fn times(&self) -> [Instant; 3] {
        loop {
            let is_near = self.is_near.notified();
            match self.times.get() {
                Some(times) => return times,
                None => is_near.await,
            }
        }
    }
}
