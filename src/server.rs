//! From sockets to requests.

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

use crate::auth::tls::trust::TrustStore;
use crate::config::raw;
use crate::gateway::connection::listener_settings::{Entrance, InForce};
use crate::gateway::connection::{Connection, Shown};
use crate::log_throttle::LogThrottle;
use tls::TlsStore;

/// How many connections may wait to be accepted; the kernel's own bound may be lower.
const BACKLOG: i32 = 4096;

/// A connection on which nothing has come for so long is probed, and so often.
const PROBED_AFTER: Duration = Duration::from_secs(60);
const PROBED_EVERY: Duration = Duration::from_secs(10);

/// What a worker needs to know of a listener.
#[derive(Clone)]
pub struct Listener {
    /// Its address; as configured until it is bound.
    pub(crate) address: SocketAddr,
    /// TLS, where it has it.
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
    /// What it is to its requests.
    pub(crate) entrance: Arc<InForce>,
    /// Whose certificates it takes, where it asks callers for one.
    pub(crate) clients: Option<Arc<TrustStore>>,
    /// Says on standard error whose certificates are refused.
    pub(crate) refused: Arc<LogThrottle>,
    /// Says on standard error whose connections are not HTTP/2.
    pub(crate) broken: Arc<LogThrottle>,
    /// What its connections may cost.
    pub(crate) bounds: Arc<limits::conn_limits::InForce>,
    /// Connections open now, on all workers.
    pub(crate) open: Arc<AtomicUsize>,
    /// TLS handshakes going on now, on all workers.
    pub(crate) handshakes: Arc<AtomicUsize>,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// New connections wait in the kernel: another process is about to take over, or this one has not yet.
    Waiting,
    /// Requests are taken.
    Running,
    /// Another process has taken over: each connection goes there once it has no request in flight.
    Leaving,
    /// Told to stop, and load balancers may not know yet: connections are taken, and end with their next answer.
    Closing,
    /// No new connections; what is in flight may end.
    Draining,
    /// What is still in flight ends now.
    Stopping,
}

impl Listener {
    /// As configured; `number` is its place there.
    pub fn new(number: usize, raw: &raw::Listen, tls: Option<(rustls::ServerConfig, TlsStore)>) -> Self {
        let (tls, store) = tls.unzip();
        Self {
            address: raw.address,
            tls: tls.map(|settings| Arc::new(settings).into()),
            entrance: Arc::new(InForce::new(Entrance::new(number, raw))),
            clients: store.and_then(|store| store.clients),
            refused: Arc::default(),
            broken: Arc::default(),
            bounds: Arc::new(limits::conn_limits::InForce::new(&raw.limits)),
            open: Arc::default(),
            handshakes: Arc::default(),
        }
    }

    /// A connection that came to it.
    pub(crate) fn connection(
        &self,
        ip: IpAddr,
        secure: bool,
        is_multiplexed: bool,
        shown: Option<Shown>,
    ) -> Rc<Connection> {
        let (entrance, limits) = (Arc::clone(&self.entrance), Arc::clone(&self.bounds.now().limits));
        Rc::new(Connection::new(ip, secure, is_multiplexed, entrance, limits).showing(shown))
    }
}

/// `count` sockets on one address, among which the kernel shares out connections. With port 0 all get the same one.
///
/// # Errors
/// Where the address cannot be had.
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

/// The sockets of one address, shared out among so many workers: none may be without one, nor any socket without a worker.
///
/// # Errors
/// Where there is no descriptor left.
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
/// Where the address cannot be had.
pub fn bind_alone(address: SocketAddr) -> io::Result<TcpListener> {
    socket(address, false)
}

/// Whether there could be a listener on an address. Nobody's connections come here meanwhile.
///
/// # Errors
/// Why there could not.
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
