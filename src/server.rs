//! Server: sockets, TLS and workers; HTTP requests go to `gateway`.

pub mod admin;
mod connection;
mod handshake_scheduler;
pub mod limits;
pub mod tls;
pub mod upgrade;
pub mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::auth::tls::trust::ClientTrustStore;
use crate::config::raw;
use crate::gateway::connection::listener_settings::{CurrentSettings, ListenerSettings};
use crate::gateway::connection::listener_view::ListenerView;
use crate::gateway::connection::{Connection, TlsClientInfo};
use crate::log_throttle::LogThrottle;
use tls::TlsStore;

/// Backlog of listening sockets; the kernel may have a lower bound.
const BACKLOG: i32 = 4096;

/// TCP keep-alive: idle time before the first probe, and the interval between probes.
const PROBED_AFTER: Duration = Duration::from_secs(60);
const PROBED_EVERY: Duration = Duration::from_secs(10);

/// A listener, as its workers need it.
#[derive(Clone)]
pub struct Listener {
    /// Address; as configured until it is bound.
    pub(crate) address: SocketAddr,
    /// TLS settings; `None` for plain HTTP.
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
    /// Per-listener settings, swapped on reload.
    pub(crate) settings: Arc<CurrentSettings>,
    /// Trust store for client certificates, where the listener asks for one.
    pub(crate) clients: Option<Arc<ClientTrustStore>>,
    /// Throttle of log lines about refused client certificates.
    pub(crate) refused: Arc<LogThrottle>,
    /// Throttle of log lines about broken HTTP/2 connections.
    pub(crate) broken: Arc<LogThrottle>,
    /// Connection limits.
    pub(crate) bounds: Arc<limits::conn_limits::CurrentLimits>,
    /// Open connections, on all workers.
    pub(crate) open: Arc<AtomicUsize>,
    /// TLS handshakes in progress, on all workers.
    pub(crate) handshakes: Arc<AtomicUsize>,
}

/// Phase of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connections wait in the kernel: another process is about to take over, or this one has not yet.
    Waiting,
    /// Requests are served.
    Running,
    /// Another process has taken over: each connection goes there once it has no request in flight.
    Leaving,
    /// Shutdown, before load balancers know: connections are still accepted, and end with their next response.
    Closing,
    /// No new connections; requests in flight may end.
    Draining,
    /// Requests in flight end now.
    Stopping,
}

impl Listener {
    /// A listener as configured; `number` is its index in the configuration.
    pub fn new(number: usize, raw: &raw::Listen, tls: Option<(rustls::ServerConfig, TlsStore)>) -> Self {
        let (tls, store) = tls.unzip();
        Self {
            address: raw.address,
            tls: tls.map(|settings| Arc::new(settings).into()),
            settings: Arc::new(CurrentSettings::new(ListenerSettings::new(number, raw))),
            clients: store.and_then(|store| store.clients),
            refused: Arc::default(),
            broken: Arc::default(),
            bounds: Arc::new(limits::conn_limits::CurrentLimits::new(&raw.limits)),
            open: Arc::default(),
            handshakes: Arc::default(),
        }
    }

    /// The same without its sockets, for explanations.
    pub(crate) fn view(&self) -> ListenerView {
        let bounds = Arc::clone(&self.bounds);
        let limits = Arc::new(move || Arc::clone(&bounds.now().limits));
        ListenerView { address: self.address, secure: self.tls.is_some(), settings: Arc::clone(&self.settings), limits }
    }

    /// A new connection of this listener.
    pub(crate) fn connection(
        &self,
        ip: IpAddr,
        secure: bool,
        is_multiplexed: bool,
        shown: Option<TlsClientInfo>,
    ) -> Rc<Connection> {
        let (settings, limits) = (Arc::clone(&self.settings), Arc::clone(&self.bounds.now().limits));
        Rc::new(Connection::new(ip, secure, is_multiplexed, settings, limits).showing(shown))
    }
}

/// `count` sockets on one address (SO_REUSEPORT). With port 0 all get the same port.
///
/// # Errors
/// If the address cannot be bound.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets: Vec<TcpListener> = Vec::with_capacity(count);
    for _ in 0..count {
        let address = match sockets.first() {
            Some(first) => first.local_addr()?,
            None => address,
        };
        // Sharing is only for our own workers: another process on this address must be an error.
        if sockets.is_empty() && address.port() != 0 {
            drop(socket(address, false)?);
        }
        sockets.push(socket(address, true)?);
    }
    Ok(sockets)
}

/// Distributes the sockets of one address among workers: each worker gets at least one, and each socket a worker.
///
/// # Errors
/// If there is no file descriptor left.
pub fn deal(sockets: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut dealt: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for number in sockets.len()..workers {
        // Sockets of another process cannot be added to without losing what waits there if this one fails.
        dealt[number].push(sockets[number % sockets.len()].try_clone()?);
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        dealt[number % workers].push(socket);
    }
    Ok(dealt)
}

/// The only socket on an address.
///
/// # Errors
/// If the address cannot be bound.
pub fn bind_alone(address: SocketAddr) -> io::Result<TcpListener> {
    socket(address, false)
}

/// Checks that an address can be bound. Does not listen, so no connection arrives.
///
/// # Errors
/// The reason why it cannot.
pub fn try_bind(address: SocketAddr) -> io::Result<()> {
    bound(address, false).map(drop)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = bound(address, shared)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // What is accepted has this too, and so notices callers that are gone though nothing is sent.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBED_AFTER).with_interval(PROBED_EVERY))?;
    socket.bind(&address.into())?;
    Ok(socket)
}
