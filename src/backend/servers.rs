//! The servers of a backend: those that are listed, with all addresses that their names have now.
//!
//! They outlive a policy where nothing about them has changed, and with them the connections to them. Names are looked up
//! and servers are checked on the control runtime; workers see a list that is replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::balance::{seed, tickets};
use super::endpoint_status::{OutlierDetection, Standing, may_eject, millis, whole_millis};
use super::health::{self, HealthCheck};
use super::proxy_protocol::ProxyProtocol;
use super::resolve;

/// How long a start or a reload waits for names to be looked up and for keys of issuers, all together.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// A server as it is listed.
pub struct Listed {
    /// Where it is.
    pub at: At,
    /// TLS towards it, with the name that its certificate must have.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Its share.
    pub weight: u32,
}

/// Where a server is, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// At an address.
    Address(SocketAddr),
    /// At the addresses of a name, on a port.
    Name(String, u16),
    /// Behind a unix socket.
    Unix(PathBuf),
}

/// One server.
pub struct Server {
    /// Unique in this process: connections are kept by it.
    pub(super) id: u64,
    /// Where it is.
    pub(super) place: Place,
    /// TLS towards it, with the name that its certificate must have.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// How it is told for whom a connection is, where it wants to know.
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) weight: u32,
    /// Decides which customers are its own, where that is asked.
    pub(super) seed: u64,
    /// How it stands.
    pub standing: Arc<Standing>,
    /// Which of the listed ones it comes from.
    listed: usize,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// All servers at one time.
#[derive(Default)]
pub struct Present {
    /// The servers.
    pub servers: Vec<Arc<Server>>,
    /// Each as often as its weight says.
    pub(super) tickets: Vec<u16>,
}

/// How servers are watched.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When a failing one gets no requests.
    pub outlier_detection: OutlierDetection,
    /// How long one that came back gets less than its share.
    pub slow_start: Duration,
    /// How each is asked how it is.
    pub health_check: Option<HealthCheck>,
    /// How often names are looked up.
    pub resolve: Duration,
    /// Whether HTTP/2 is spoken with them.
    pub http2: bool,
    /// How they are told for whom a connection is, where they want to know.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// The standings of all servers of all backends: by backend, address, and whether they are checked. What a check said
/// must not outlive the checks.
#[derive(Debug, Default)]
pub struct Standings(Mutex<HashMap<Whose, Weak<Standing>>>);

type Whose = (Arc<str>, String, bool);

/// The servers of a backend.
pub struct Servers {
    pub(super) id: u64,
    /// The name of the backend.
    backend: Arc<str>,
    listed: Vec<Listed>,
    rules: Rules,
    standings: Arc<Standings>,
    /// Changes with `present`.
    pub(super) version: AtomicU64,
    present: Mutex<Arc<Present>>,
    ejecting: Mutex<()>,
    is_started: AtomicBool,
    /// The names that have not been looked up once, however that ended.
    unlooked: watch::Sender<HashSet<(String, u16)>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl Standings {
    fn of(&self, backend: &Arc<str>, address: String, is_checked: bool) -> Arc<Standing> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.entry((Arc::clone(backend), address.clone(), is_checked)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let standing = Arc::new(Standing::new(Arc::clone(backend), address));
            *place = Arc::downgrade(&standing);
            standing
        })
    }

    /// Forgets those of servers that are gone.
    pub fn forget_gone(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, standing| standing.strong_count() > 0);
        known.shrink_to_fit();
    }
}

impl Servers {
    /// Those of a backend. Names have no address before they are looked up.
    pub fn new(backend: Arc<str>, listed: Vec<Listed>, rules: Rules, standings: Arc<Standings>) -> Self {
        let servers = Self {
            id: next_id(),
            backend,
            listed,
            rules,
            standings,
            version: AtomicU64::new(0),
            present: Mutex::default(),
            ejecting: Mutex::default(),
            is_started: AtomicBool::new(false),
            unlooked: watch::Sender::default(),
        };
        servers.unlooked.send_replace(servers.names().into_iter().collect());
        servers.put(|listed, _| match &listed.at {
            At::Address(address) => vec![Place::Tcp(*address)],
            At::Unix(path) => vec![Place::Unix(path.clone())],
            At::Name(..) => Vec::new(),
        });
        servers
    }

    /// Those that there are now.
    pub fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to look up names and to check servers, for as long as somebody holds this.
    pub fn start(self: &Arc<Self>, control: &Handle) {
        if self.is_started.swap(true, Ordering::Relaxed) {
            return;
        }
        self.look_up(control);
        if let Some(health) = &self.rules.health_check {
            control.spawn(health::keep_checking(Arc::downgrade(self), health.clone()));
        }
    }

    /// Begins to look up names.
    pub fn look_up(self: &Arc<Self>, control: &Handle) {
        for name in self.names() {
            control.spawn(resolve::keep_looking(Arc::downgrade(self), name, self.rules.resolve));
        }
    }

    /// Connects to each server once, over TLS where that is configured, and asks how it is where it is checked: its name,
    /// and why it cannot be used within this time.
    pub async fn try_each(&self, patience: Duration) -> Vec<(String, Result<(), String>)> {
        let mut tries = tokio::task::JoinSet::new();
        for server in &self.present().servers {
            let (server, health) = (Arc::clone(server), self.rules.health_check.clone());
            tries.spawn(async move {
                let asked = health::try_server(&server, health.as_ref());
                let outcome = tokio::time::timeout(patience, asked).await;
                let outcome = outcome.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                (server.standing.name.clone(), outcome)
            });
        }
        let mut outcomes = tries.join_all().await;
        let lacking = self.names().into_iter().filter(|name| self.lacks_addresses(name));
        outcomes.extend(lacking.map(|(name, _)| (name, Err("DNS lookup failed".to_owned()))));
        outcomes.sort();
        outcomes
    }

    /// Waits until names have been looked up once, or until this time.
    pub async fn first_look(&self, until: Instant) {
        let mut looked = self.unlooked.subscribe();
        if tokio::time::timeout_at(until.into(), looked.wait_for(HashSet::is_empty)).await.is_err() {
            let names: Vec<String> = self.unlooked.borrow().iter().map(|(name, _)| name.clone()).collect();
            let (backend, names) = (&*self.backend, names.join(" "));
            tracing::warn!(backend, names, "names of this backend take long to be looked up");
        }
    }

    /// The names that must be looked up.
    pub(super) fn names(&self) -> Vec<(String, u16)> {
        let mut names: Vec<_> = self.listed.iter().filter_map(Listed::name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Takes the addresses that a name has now; others keep what they have.
    pub(super) fn found(&self, name: &(String, u16), addresses: &[SocketAddr]) {
        let places = |listed: &Listed, known: &[Place]| match listed.name() {
            Some(its) if its == *name => addresses.iter().copied().map(Place::Tcp).collect(),
            _ => known.to_vec(),
        };
        if self.put(places) {
            let names: Vec<_> = self.present().servers.iter().map(|server| server.standing.name.clone()).collect();
            tracing::info!(backend = %self.backend, servers = names.join(" "), "the servers of this backend");
        }
    }

    /// A name has been looked up, however that ended.
    pub(super) fn looked_up(&self, name: &(String, u16)) {
        self.unlooked.send_if_modified(|unlooked| unlooked.remove(name));
    }

    /// Whether a name has no address at all.
    pub(super) fn lacks_addresses(&self, name: &(String, u16)) -> bool {
        let present = self.present();
        let is_of_it = |server: &Arc<Server>| self.listed[server.listed].name().as_ref() == Some(name);
        !present.servers.iter().any(is_of_it)
    }

    /// Sets where each listed server is, given where it was; whether that is another place than before.
    fn put(&self, places: impl Fn(&Listed, &[Place]) -> Vec<Place>) -> bool {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = Vec::new();
        for (number, listed) in self.listed.iter().enumerate() {
            let before: Vec<_> = present.servers.iter().filter(|server| server.listed == number).collect();
            let known: Vec<Place> = before.iter().map(|server| server.place.clone()).collect();
            for place in places(listed, &known) {
                let same = before.iter().find(|server| server.place == place);
                servers
                    .push(same.map_or_else(|| Arc::new(self.server(number, listed, place)), |same| Arc::clone(same)));
            }
        }
        let is_same = servers.len() == present.servers.len()
            && servers.iter().zip(&present.servers).all(|(new, old)| Arc::ptr_eq(new, old));
        if is_same {
            return false;
        }
        let weights: Vec<u32> = servers.iter().map(|server| server.weight).collect();
        *present = Arc::new(Present { tickets: tickets(&weights), servers });
        self.version.fetch_add(1, Ordering::Release);
        true
    }

    fn server(&self, number: usize, listed: &Listed, place: Place) -> Server {
        let address = match &place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        };
        Server {
            id: next_id(),
            seed: seed(&address),
            standing: self.standings.of(&self.backend, address, self.rules.health_check.is_some()),
            place,
            tls: listed.tls.clone(),
            proxy_protocol: self.rules.proxy_protocol,
            weight: listed.weight,
            listed: number,
        }
    }

    /// Whether HTTP/2 is spoken with them.
    pub fn speak_http2(&self) -> bool {
        self.rules.http2
    }

    /// Milliseconds for which a server that came back gets less than its share.
    pub(super) fn slow_start(&self) -> u64 {
        whole_millis(self.rules.slow_start)
    }

    /// A server failed a request: takes it out where that is due and others are left.
    pub(super) fn failed(&self, server: &Server, why: &'static str) {
        let failures = server.standing.failed();
        let rule = &self.rules.outlier_detection;
        if rule.failures == 0 || failures < rule.failures {
            return;
        }
        let _one_at_a_time = self.ejecting();
        let now = millis(Instant::now());
        let present = self.present();
        let out = present.servers.iter().filter(|server| server.standing.is_out_at(now)).count();
        if server.standing.is_out_at(now) || !may_eject(out, present.servers.len(), rule.max_ejection_percent) {
            return;
        }
        let time = server.standing.eject(now, rule);
        let (backend, server) = (&*self.backend, &*server.standing.name);
        let seconds = time.as_secs_f64();
        tracing::warn!(
            backend,
            server,
            failures,
            last = why,
            seconds,
            "this server fails: it gets no requests for a while"
        );
    }

    /// A server was checked.
    pub(super) fn checked(&self, server: &Server, health: &HealthCheck, outcome: Result<(), String>) {
        let changed = server.standing.checked(outcome.is_ok(), health.thresholds, millis(Instant::now()));
        match (changed, outcome) {
            (Some(true), _) => server.standing.note_good(),
            (Some(false), Err(why)) => server.standing.note_bad(&why),
            _ => {}
        }
    }

    fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    fn name(&self) -> Option<(String, u16)> {
        match &self.at {
            At::Name(name, port) => Some((name.clone(), *port)),
            At::Address(_) | At::Unix(_) => None,
        }
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Servers").field("backend", &self.backend).finish_non_exhaustive()
    }
}
