//! `attempts` of a login or of clients, read: the delays after failures.

use crate::config::raw;
use crate::config::scalar::Duration;
use crate::state::login_lockout::{Cost, Costs};

/// Delays in milliseconds after failures of a name, and of a network.
pub(super) fn costs(raw: &raw::Attempts) -> Costs {
    let millis = |duration: Duration| u64::try_from(duration.get().as_millis()).unwrap_or(u64::MAX);
    let (delay, longest) = (millis(raw.delay), millis(raw.longest));
    Costs {
        name: Cost { free: raw.free.into(), delay, longest },
        network: Cost { free: raw.free_per_address.into(), delay, longest },
    }
}
