//! Pool of timers. Most responses come long before their timeout, so a timer is reset only if it would fire too late,
//! and not for each request.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// Unused timers of a worker.
#[derive(Default)]
pub(super) struct TimerPool(RefCell<Vec<Pin<Box<Sleep>>>>);

/// A timer that fires once.
pub(super) struct Alarm<'a> {
    timers: &'a TimerPool,
    /// Fires at `at` or earlier.
    sleep: Option<Pin<Box<Sleep>>>,
    at: Instant,
}

impl TimerPool {
    /// A timer that fires at this time.
    pub(in crate::backend) fn set(&self, at: Instant) -> Alarm<'_> {
        let mut sleep = self.0.borrow_mut().pop().unwrap_or_else(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        Alarm { timers: self, sleep: Some(sleep), at }
    }
}

impl Alarm<'_> {
    /// Postpones it.
    pub(super) fn put_off(&mut self, at: Instant) {
        self.at = at;
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(at);
        }
    }

    /// Ready once it has fired.
    pub(in crate::backend) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= self.at {
                return Poll::Ready(());
            }
            // It was still set for an earlier request.
            sleep.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.timers.0.borrow_mut().extend(self.sleep.take());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_alarm_rings_at_its_time_whatever_its_timer_was_set_for_before() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let timers = TimerPool::default();
            let set = |milliseconds| timers.set(Instant::now() + Duration::from_millis(milliseconds));
            // Nobody waits for the first, which would ring long after the test; then shorter and longer ones in turn.
            drop(set(100_000));
            for milliseconds in [10, 20, 5, 30, 1] {
                let start = Instant::now();
                let mut alarm = set(milliseconds);
                std::future::poll_fn(|context| alarm.poll(context)).await;
                assert!(start.elapsed() >= Duration::from_millis(milliseconds));
            }
            assert_eq!(timers.0.borrow().len(), 1);
        });
    }
}
