//! Looks up the names of servers.
//!
//! By `getaddrinfo` of the system, so that /etc/hosts, nsswitch.conf, search domains and whatever else a company has set up
//! for its machines count here as everywhere. It can hang for minutes and cannot be called off; so each look-up has a thread
//! apart from all other work: one for each name however many wait for it, and so many in all.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// How many look-ups run at once.
const THREADS: usize = 64;

/// How many of them are of names that took long before: names that hang leave threads for those that do not.
const SLOW_THREADS: usize = THREADS / 2;

/// A look-up that takes longer is a slow one; whoever knows an earlier answer waits no longer, unless in a hurry.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer is kept for which nobody has asked again.
const KEEP: Duration = Duration::from_secs(3600);

/// So many names are known before those are forgotten that nobody asks for.
const FEW: usize = 64;

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(Arc<str>);

/// What asks the system, and comes back when that has answered.
type System = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

type Found = Result<Arc<[IpAddr]>, Unresolved>;

/// The addresses of a host, a name or an address itself, as the system has them now, in its order. May take for ever.
///
/// # Errors
/// What the system says.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    Ok(at_port(&SYSTEM.look_up(host).await?, port))
}

/// The same. Where the system fails, or takes longer than `patience`, the addresses that it gave the last time.
///
/// # Errors
/// What the system says, where it has given none before.
pub async fn look_up_or_last(host: &str, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, Unresolved> {
    Ok(at_port(&SYSTEM.look_up_or_last(host, patience).await?, port))
}

static SYSTEM: LazyLock<Resolver> = LazyLock::new(|| Resolver::new(Arc::new(by_system)));

fn by_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in (host, 0).to_socket_addrs()? {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    if found.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(found) }
}

fn at_port(found: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    found.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}

/// Names and the look-ups of them.
struct Resolver {
    system: Arc<System>,
    names: Arc<Mutex<Names>>,
    threads: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

#[derive(Default)]
struct Names {
    known: HashMap<String, Name>,
    /// How many may be known before they are looked through.
    most: usize,
}

/// What is known of a name.
struct Name {
    running: Option<watch::Receiver<Option<Found>>>,
    last: Option<Arc<[IpAddr]>>,
    is_slow: bool,
    asked: Instant,
}

/// A look-up that runs or has just ended, or what is needed to begin one.
enum Step {
    Running(watch::Receiver<Option<Found>>),
    NotRunning { is_slow: bool },
}

impl Resolver {
    fn new(system: Arc<System>) -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self { system, names: Arc::default(), threads: of(THREADS), slow: of(SLOW_THREADS) }
    }

    async fn look_up(&self, host: &str) -> Found {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok([address].into());
        }
        let mut running = self.running(host).await?;
        let found = running.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        found.unwrap_or_else(|| Err(Unresolved("the look-up has ended without an answer".into())))
    }

    async fn look_up_or_last(&self, host: &str, patience: Duration) -> Found {
        let Some(last) = self.last(host) else { return self.look_up(host).await };
        Ok(timeout(patience, self.look_up(host)).await.ok().and_then(Result::ok).unwrap_or(last))
    }

    /// The look-up of this name that runs, or one that is begun as soon as there is a thread for it.
    async fn running(&self, host: &str) -> Result<watch::Receiver<Option<Found>>, Unresolved> {
        let mut permits = Vec::new();
        loop {
            let is_slow = match self.step(host, &mut permits)? {
                Step::Running(running) => return Ok(running),
                Step::NotRunning { is_slow } => is_slow,
            };
            // Whoever waits here may be given up, and somebody else begins: so nothing is held but a place.
            permits.clear();
            if is_slow {
                permits.extend(Arc::clone(&self.slow).acquire_owned().await.ok());
            }
            permits.extend(Arc::clone(&self.threads).acquire_owned().await.ok());
        }
    }

    /// Joins the look-up of this name, or begins one where there are permits for it.
    fn step(&self, host: &str, permits: &mut Vec<OwnedSemaphorePermit>) -> Result<Step, Unresolved> {
        let mut names = lock(&self.names);
        let name = names.of(host);
        name.asked = Instant::now();
        // One whose thread is gone without an answer runs no more.
        if let Some(running) = name.running.clone().filter(|running| running.has_changed().is_ok()) {
            return Ok(Step::Running(running));
        }
        if permits.len() < 1 + usize::from(name.is_slow) {
            return Ok(Step::NotRunning { is_slow: name.is_slow });
        }
        let (tell, told) = watch::channel(None);
        let (system, held, all) = (Arc::clone(&self.system), std::mem::take(permits), Arc::clone(&self.names));
        let host = host.to_owned();
        let job = move || {
            let begun = Instant::now();
            let found = system(&host).map(Arc::from).map_err(|error| Unresolved(error.to_string().into()));
            let mut names = lock(&all);
            let name = names.of(&host);
            name.is_slow = begun.elapsed() > PATIENCE;
            name.running = None;
            name.last = found.as_ref().ok().cloned().or(name.last.take());
            drop(names);
            // Whoever is told may begin the next one at once.
            drop(held);
            let _ = tell.send(Some(found));
        };
        let thread = std::thread::Builder::new().name("resolve".to_owned()).spawn(job);
        thread.map_err(|error| Unresolved(format!("no thread to look it up: {error}").into()))?;
        name.running = Some(told.clone());
        Ok(Step::Running(told))
    }

    fn last(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        lock(&self.names).known.get(host)?.last.clone()
    }
}

impl Names {
    fn of(&mut self, host: &str) -> &mut Name {
        if !self.known.contains_key(host) && self.known.len() >= self.most.max(FEW) {
            self.known.retain(|_, name| name.running.is_some() || name.asked.elapsed() < KEEP);
            self.most = 2 * self.known.len();
        }
        let new = || Name { running: None, last: None, is_slow: false, asked: Instant::now() };
        self.known.entry(host.to_owned()).or_insert_with(new)
    }
}

fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
