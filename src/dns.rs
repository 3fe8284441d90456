//! DNS look-ups.
//!
//! By `getaddrinfo` of the system, so that /etc/hosts, nsswitch.conf, search domains and other company settings apply
//! as everywhere. It can hang for minutes and cannot be cancelled; so look-ups have threads of their own, with one
//! look-up for each name however many wait for it, and a limit for all.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Most look-ups at once.
const THREADS: usize = 64;

/// Most look-ups at once of names that were slow before: names that hang leave threads for others.
const SLOW_THREADS: usize = THREADS / 2;

/// Time after which a look-up counts as slow, and an earlier answer is used instead where there is one.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Time to keep an answer that nobody asks for again.
const KEEP: Duration = Duration::from_secs(3600);

/// Known names above which unused ones are dropped.
const FEW: usize = 64;

/// Reason why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(Arc<str>);

/// Blocking look-up by the system.
type System = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

type Found = Result<Arc<[IpAddr]>, Unresolved>;

/// Addresses of a host name or IP address, in the order of the system. May hang for minutes.
///
/// # Errors
/// The error of the system.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    Ok(at_port(&SYSTEM.look_up(host).await?, port))
}

/// Addresses of a host; if the system fails or takes longer than `patience`, those of its last answer.
///
/// # Errors
/// The error of the system, if there is no earlier answer.
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

/// Resolver with a cache and a limit of threads.
struct Resolver {
    system: Arc<System>,
    names: Arc<Mutex<Names>>,
    threads: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

#[derive(Default)]
struct Names {
    known: HashMap<String, Name>,
    /// Known names above which unused ones are dropped.
    most: usize,
}

/// State of a name.
struct Name {
    running: Option<watch::Receiver<Option<Found>>>,
    last: Option<Arc<[IpAddr]>>,
    is_slow: bool,
    asked: Instant,
}

/// Next step: an answer, a running look-up, or what is needed to start one.
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

    /// The running look-up of a name, or a new one once there is a thread for it.
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

    /// Joins the look-up of a name, or starts one if there are permits for it.
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
