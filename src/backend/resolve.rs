//! Looks up the names of servers, again and again, away from the workers.
//!
//! The resolver of the system says nothing about how long an answer is good; so each is asked for anew after a fixed time.
//! A lookup runs on a thread of its own: it can hang for long, and threads that hash passwords must not wait for it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::oneshot;

use super::servers::Servers;

/// How soon a name is looked up again that has no address yet.
const SOON: Duration = Duration::from_secs(1);

/// Looks up a name now and after each interval, for as long as the servers are held. Each name has a task of its own: one
/// that hangs keeps no other waiting.
pub(super) async fn keep_looking(servers: Weak<Servers>, name: (String, u16), interval: Duration) {
    // What is said once need not be said again.
    let mut is_failing = false;
    loop {
        let found = look_up(name.clone()).await.unwrap_or_else(|_| Err(io::Error::other("no thread")));
        let Some(servers) = servers.upgrade() else { return };
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                if std::mem::take(&mut is_failing) {
                    tracing::info!(name = name.0, "this name can be looked up again");
                }
                servers.found(&name, &addresses);
            }
            failed => {
                let error = failed.map_or_else(|error| error.to_string(), |_| "it has no address".to_owned());
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(name = name.0, error, "this name cannot be looked up: the addresses before stay");
                }
            }
        }
        servers.looked_up(&name);
        let pause = if servers.lacks_addresses(&name) { interval.min(SOON) } else { interval };
        drop(servers);
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
