//! The servers of a backend: the configured addresses, and those that DNS gives for configured names.
//!
//! They outlive a policy if nothing about them has changed, and so do their connections. DNS look-ups and health checks
//! run on the control runtime; workers see a list that is replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::endpoint_status::EndpointStatus;
use super::health_check::HealthCheck;
use super::http_options::HttpOptions;
use super::outlier_detection::{OutlierDetection, may_eject};
use crate::backend::balance::{seed, tickets};
use crate::backend::clock::{millis, whole_millis};
use crate::backend::proxy_protocol::ProxyProtocol;

/// Longest wait of a start or a reload for first DNS answers and for issuers' keys, all together.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// A configured server.
pub struct Listed {
    /// Address.
    pub at: At,
    /// TLS settings, with the name that the certificate must have.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    /// `Host` of the address.
    pub host: HeaderValue,
    /// Load balancing weight.
    pub weight: u32,
}

/// Configured address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// IP address and port.
    Address(SocketAddr),
    /// DNS name and port.
    Name(String, u16),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// One server: one resolved address.
pub struct Server {
    /// Id, unique in this process; connections are kept by it.
    pub(in crate::backend) id: u64,
    /// Address.
    pub(in crate::backend) place: ServerLocation,
    /// TLS settings, with the name that the certificate must have.
    pub(in crate::backend) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// PROXY protocol version to send.
    pub(in crate::backend) proxy_protocol: Option<ProxyProtocol>,
    /// `Host` of its address as it is configured.
    pub(in crate::backend) host: HeaderValue,
    /// How HTTP is spoken with it.
    pub(in crate::backend) http: Arc<HttpOptions>,
    pub(in crate::backend) weight: u32,
    /// Hash of the address, for consistent hashing.
    pub(in crate::backend) seed: u64,
    /// Health, ejection and load.
    pub standing: Arc<EndpointStatus>,
    /// Index of the configured server.
    listed: usize,
}

/// Resolved address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) enum ServerLocation {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Servers at one time.
#[derive(Default)]
pub struct Present {
    /// The servers.
    pub servers: Vec<Arc<Server>>,
    /// Server indexes, each as often as its weight says.
    pub(in crate::backend) tickets: Vec<u16>,
}

/// Rules for the servers of a backend.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Outlier detection.
    pub outlier_detection: OutlierDetection,
    /// Slow start: time in which a server that came back gets less than its share.
    pub slow_start: Duration,
    /// Active health check.
    pub health_check: Option<HealthCheck>,
    /// Interval of DNS look-ups.
    pub resolve: Duration,
    /// True for HTTP/2.
    pub http2: bool,
    /// PROXY protocol version to send.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How HTTP is spoken with them.
    pub http: Arc<HttpOptions>,
}

/// Status of all servers of all backends, by backend, address, and whether health checks run: the result of a check
/// must not outlive the checks.
#[derive(Debug, Default)]
pub struct EndpointStatuses(Mutex<HashMap<Whose, Weak<EndpointStatus>>>);

type Whose = (Arc<str>, String, bool);

/// Servers of one backend.
pub struct Servers {
    pub(in crate::backend) id: u64,
    /// Name of the backend.
    backend: Arc<str>,
    listed: Vec<Listed>,
    pub(in crate::backend) rules: Rules,
    standings: Arc<EndpointStatuses>,
    /// Changes with `present`.
    pub(in crate::backend) version: AtomicU64,
    present: Mutex<Arc<Present>>,
    ejecting: Mutex<()>,
    /// True once the background tasks of `watch` run.
    pub(in crate::backend) is_started: AtomicBool,
    /// Names without a finished first look-up.
    unlooked: watch::Sender<HashSet<(String, u16)>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl EndpointStatuses {
    fn of(&self, backend: &Arc<str>, address: String, is_checked: bool) -> Arc<EndpointStatus> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.entry((Arc::clone(backend), address.clone(), is_checked)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let standing = Arc::new(EndpointStatus::new(Arc::clone(backend), address));
            *place = Arc::downgrade(&standing);
            standing
        })
    }

    /// Forgets the status of servers that are gone.
    pub fn forget_gone(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, standing| standing.strong_count() > 0);
        known.shrink_to_fit();
    }
}

impl Servers {
    /// Servers of a backend. Names have no address before the first look-up.
    pub fn new(backend: Arc<str>, listed: Vec<Listed>, rules: Rules, standings: Arc<EndpointStatuses>) -> Self {
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
            At::Address(address) => vec![ServerLocation::Tcp(*address)],
            At::Unix(path) => vec![ServerLocation::Unix(path.clone())],
            At::Name(..) => Vec::new(),
        });
        servers
    }

    /// Present servers.
    pub fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the first look-up of all names, until `until`; logs those that take longer.
    pub async fn first_look(&self, until: Instant) {
        let mut looked = self.unlooked.subscribe();
        if tokio::time::timeout_at(until.into(), looked.wait_for(HashSet::is_empty)).await.is_err() {
            let names: Vec<String> = self.unlooked.borrow().iter().map(|(name, _)| name.clone()).collect();
            let (backend, names) = (&*self.backend, names.join(" "));
            tracing::warn!(backend, names, "DNS lookups of this backend's names are slow");
        }
    }

    /// DNS names to look up.
    pub(in crate::backend) fn names(&self) -> Vec<(String, u16)> {
        let mut names: Vec<_> = self.listed.iter().filter_map(Listed::name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Replaces the addresses of a name.
    pub(in crate::backend) fn found(&self, name: &(String, u16), addresses: &[SocketAddr]) {
        let places = |listed: &Listed, known: &[ServerLocation]| match listed.name() {
            Some(its) if its == *name => addresses.iter().copied().map(ServerLocation::Tcp).collect(),
            _ => known.to_vec(),
        };
        if self.put(places) {
            let names: Vec<_> = self.present().servers.iter().map(|server| server.standing.name.clone()).collect();
            tracing::info!(backend = %self.backend, servers = names.join(" "), "resolved servers of the backend changed");
        }
    }

    /// Notes that a look-up has finished, successfully or not.
    pub(in crate::backend) fn looked_up(&self, name: &(String, u16)) {
        self.unlooked.send_if_modified(|unlooked| unlooked.remove(name));
    }

    /// True if a name has no address.
    pub(in crate::backend) fn lacks_addresses(&self, name: &(String, u16)) -> bool {
        let present = self.present();
        let is_of_it = |server: &Arc<Server>| self.listed[server.listed].name().as_ref() == Some(name);
        !present.servers.iter().any(is_of_it)
    }

    /// Sets the addresses of each configured server, given the previous ones; returns whether any changed.
    fn put(&self, places: impl Fn(&Listed, &[ServerLocation]) -> Vec<ServerLocation>) -> bool {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = Vec::new();
        for (number, listed) in self.listed.iter().enumerate() {
            let before: Vec<_> = present.servers.iter().filter(|server| server.listed == number).collect();
            let known: Vec<ServerLocation> = before.iter().map(|server| server.place.clone()).collect();
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

    fn server(&self, number: usize, listed: &Listed, place: ServerLocation) -> Server {
        let address = match &place {
            ServerLocation::Tcp(address) => address.to_string(),
            ServerLocation::Unix(path) => format!("unix:{}", path.display()),
        };
        Server {
            id: next_id(),
            seed: seed(&address),
            standing: self.standings.of(&self.backend, address, self.rules.health_check.is_some()),
            place,
            tls: listed.tls.clone(),
            proxy_protocol: self.rules.proxy_protocol,
            host: listed.host.clone(),
            http: Arc::clone(&self.rules.http),
            weight: listed.weight,
            listed: number,
        }
    }

    /// True for HTTP/2.
    pub fn speak_http2(&self) -> bool {
        self.rules.http2
    }

    /// Duration of slow start in milliseconds.
    pub(in crate::backend) fn slow_start(&self) -> u64 {
        whole_millis(self.rules.slow_start)
    }

    /// Counts a failed request, and ejects the server if that is due and others are left.
    pub(in crate::backend) fn failed(&self, server: &Server, why: &'static str) {
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
        tracing::warn!(backend, server, failures, last = why, seconds, "server ejected by outlier detection");
    }

    /// Counts a health check, and logs a change.
    pub(in crate::backend) fn checked(&self, server: &Server, health: &HealthCheck, outcome: Result<(), String>) {
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
