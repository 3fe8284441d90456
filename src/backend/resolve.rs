//! Looks up the names of servers, again and again, away from the workers.
//!
//! The resolver of the system says nothing about how long an answer is good; so each is asked for anew after a fixed time.
//! A lookup runs on a thread of its own: it can hang for long, and threads that hash passwords must not wait for it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::oneshot;

use super::servers::Servers;

/// How soon a name is looked up again that has no address yet.
const SOON: Duration = Duration::from_secs(1);

/// Looks up all names now and after each interval, for as long as the servers are held.
pub(super) async fn keep_looking(servers: Weak<Servers>, interval: Duration) {
    // What is said once need not be said again.
    let mut failing = HashSet::new();
    loop {
        let Some(names) = servers.upgrade().map(|servers| servers.names()) else { return };
        let mut found = HashMap::new();
        // Each thread has begun before the first is waited for.
        let lookups: Vec<_> = names.into_iter().map(|name| (name.clone(), look_up(name))).collect();
        for ((name, port), lookup) in lookups {
            match lookup.await.unwrap_or_else(|_| Err(io::Error::other("no thread"))) {
                Ok(addresses) if !addresses.is_empty() => {
                    if failing.remove(&name) {
                        tracing::info!(name, "this name can be looked up again");
                    }
                    found.insert((name, port), addresses);
                }
                failed => {
                    let error = failed.map_or_else(|error| error.to_string(), |_| "it has no address".to_owned());
                    if failing.insert(name.clone()) {
                        tracing::warn!(name, error, "this name cannot be looked up: the addresses before stay");
                    }
                }
            }
        }
        let pause = {
            let Some(servers) = servers.upgrade() else { return };
            servers.found(&found);
            if servers.lacks_addresses() { interval.min(SOON) } else { interval }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The addresses of a name, each once and always in the same order.
fn look_up(name: (String, u16)) -> oneshot::Receiver<io::Result<Vec<SocketAddr>>> {
    let (tell, told) = oneshot::channel();
    let job = move || {
        let found = name.to_socket_addrs().map(|addresses| {
            let mut addresses: Vec<_> = addresses.collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses
        });
        // Nobody waits where the servers are gone.
        let _ = tell.send(found);
    };
    // Without a thread the other end sees that nobody will answer.
    let _ = std::thread::Builder::new().name("resolve".to_owned()).spawn(job);
    told
}
