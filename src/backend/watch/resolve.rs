//! DNS look-ups of servers' names, in intervals, away from the workers.
//!
//! The system's resolver returns no TTL, so each name is looked up again after a fixed interval.

use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::endpoints::servers::Servers;
use crate::dns;

/// Retry interval for a name without an address.
const SOON: Duration = Duration::from_secs(1);

/// Time after which a look-up is reported as hanging. It goes on, and the next one joins it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks up a name now and after each interval, for as long as the servers are held. Each name has a task of its own:
/// one that hangs delays no other.
pub(super) async fn keep_looking(servers: Weak<Servers>, name: (String, u16), interval: Duration) {
    // What is said once need not be said again.
    let mut is_failing = false;
    loop {
        let found = look_up(&name).await;
        let Some(servers) = servers.upgrade() else { return };
        match found {
            Ok(addresses) => {
                if std::mem::take(&mut is_failing) {
                    tracing::info!(name = name.0, "DNS lookup works again");
                }
                servers.found(&name, &addresses);
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(name = name.0, error, "DNS lookup failed; keeping the previous addresses");
                }
            }
        }
        servers.looked_up(&name);
        let pause = if servers.lacks_addresses(&name) { interval.min(SOON) } else { interval };
        drop(servers);
        tokio::time::sleep(pause).await;
    }
}

/// Addresses of a name, sorted, or the reason why there are none.
async fn look_up((host, port): &(String, u16)) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(PATIENCE, dns::look_up(host, *port)).await;
    let found = found.map_err(|_| "the system does not answer".to_owned())?;
    let mut addresses = found.map_err(|error| error.to_string())?;
    addresses.sort_unstable();
    Ok(addresses)
}
