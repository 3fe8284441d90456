//! Looks up the names of servers, again and again, away from the workers.
//!
//! The resolver of the system says nothing about how long an answer is good; so each is asked for anew after a fixed time.

use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::timeout;

use super::servers::Servers;
use crate::dns;

/// How soon a name is looked up again that has no address yet.
const SOON: Duration = Duration::from_secs(1);

/// After so long it is said that a look-up hangs. It goes on, and the next one joins it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks up a name now and after each interval, for as long as the servers are held. Each name has a task of its own: one
/// that hangs keeps no other waiting.
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

/// The addresses of a name, always in the same order; why there are none.
async fn look_up((host, port): &(String, u16)) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(PATIENCE, dns::look_up(host, *port)).await;
    let found = found.map_err(|_| "the system does not answer".to_owned())?;
    let mut addresses = found.map_err(|error| error.to_string())?;
    addresses.sort_unstable();
    Ok(addresses)
}
