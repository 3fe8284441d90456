//! When the keys of an issuer are fetched again.

use std::sync::Weak;
use std::time::Duration;

use super::{PublishedKeys, SHORTEST_INTERVAL};

/// Fetches the keys again and again, for as long as somebody holds them.
pub(super) async fn keep_fetching(keys: Weak<PublishedKeys>, changed: impl Fn()) {
    let mut failures = 0;
    loop {
        let pause = match keys.upgrade() {
            Some(keys) => keys.fetch(&mut failures, &changed).await,
            None => return,
        };
        let due = tokio::time::Instant::now() + spread(pause);
        loop {
            // Nobody's keys are fetched by nobody: whoever waits here holds them only for the moment.
            let Some(held) = keys.upgrade() else { return };
            let wait = due.min(tokio::time::Instant::now() + SHORTEST_INTERVAL);
            let asked = tokio::select! {
                () = held.requirements.notified() => true,
                () = tokio::time::sleep_until(wait) => false,
            };
            if (asked && held.may_fetch()) || tokio::time::Instant::now() >= due {
                break;
            }
        }
    }
}

/// Up to a tenth earlier, so that replicas do not ask at the same time.
pub(super) fn spread(pause: Duration) -> Duration {
    let [random] = crate::secret::random_bytes::<1>();
    pause - pause.mul_f64(f64::from(random) / 2_560.0)
}
