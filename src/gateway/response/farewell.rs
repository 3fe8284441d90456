//! What never ends by itself, WebSockets and event streams, ends in good order before the grace time does. They end one
//! by one between half of it and three quarters, so that their callers do not all come back at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The parts of the grace time after which the first ends, the last, and what has come to no good place to end at.
const PARTS: [f32; 3] = [0.5, 0.75, 0.9];

/// The end of all that is open on a worker.
#[derive(Default)]
pub(crate) struct Farewell {
    times: Cell<Option<[Instant; 3]>>,
    is_near: Notify,
}

impl Farewell {
    /// The process drains, and all is cut off after this time.
    pub(crate) fn begin(&self, grace: Duration) {
        let now = Instant::now();
        self.times.set(Some(PARTS.map(|part| now + grace.mul_f32(part))));
        self.is_near.notify_waiters();
    }

    /// Waits until it is time for one of them to look for a good place to end at.
    pub(crate) async fn is_due(self: Rc<Self>) {
        let [first, last, _] = self.times().await;
        let place = getrandom::u32().unwrap_or_default() as f32 / u32::MAX as f32;
        sleep_until(first + (last - first).mul_f32(place)).await;
    }

    /// Waits until it must end wherever it is.
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
