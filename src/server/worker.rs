//! A worker: one thread with its own runtime, listener sockets, backend connections and counters.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use rustls::server::danger::ClientCertVerifier as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::client_io::Wire;
use super::connection::deadlines::{LEAVES, watched};
use super::connection::h2_streams::Streams;
use super::connection::proxy_protocol;
use super::handshake_scheduler::Turns;
use super::limits::fd_limit::Descriptor;
use super::upgrade::Departure;
use super::upgrade::connection_handoff::{self, Departed, Leaving};
use super::{Listener, Phase};
use crate::auth::tls::peer::Peer;
use crate::auth::tls::trust::refused_certificate;
use crate::body_stream::ArrivingBody;
use crate::gateway::connection::drain::Drain;
use crate::gateway::connection::{Connection, Shown};
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::gateway::websocket::tunnel::Tunnel;
use crate::gateway::{Answer, Gateway, Shared};
use crate::process_log;
use crate::socket::Socket;

/// How long to wait when no descriptor is left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often that is said.
const ACCEPT_SAID: Duration = Duration::from_secs(10);

/// How often a worker says that it turns.
pub const PULSE: Duration = Duration::from_millis(500);

/// What a worker starts with.
pub struct Worker {
    /// Its sockets and what is known of them.
    pub listeners: Vec<(TcpListener, Listener)>,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Where the access log goes.
    pub log: Option<AccessLogWriter>,
    /// How far the process is.
    pub phase: watch::Receiver<Phase>,
    /// Counts while it turns.
    pub pulse: Arc<AtomicU64>,
    /// Connections that an earlier process has sent.
    pub arrivals: mpsc::UnboundedReceiver<Departed>,
    /// Where connections go when another process has taken over.
    pub departures: mpsc::UnboundedSender<Departed>,
}

/// What the connections of a worker share.
#[derive(Clone)]
struct Floor {
    gateway: Rc<Gateway>,
    open: Rc<Open>,
    departures: mpsc::UnboundedSender<Departed>,
    turns: Rc<Turns>,
}

/// The connections of a worker.
#[derive(Default)]
struct Open {
    count: Cell<usize>,
    none: Notify,
}

impl Worker {
    /// Starts its thread, which ends when all is drained.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(self, number: usize) -> io::Result<JoinHandle<io::Result<()>>> {
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _watch = DiesLoudly;
            self.run()
        })
    }

    fn run(self) -> io::Result<()> {
        Descriptor::announce();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(2).build_local(Default::default())?;
        runtime.block_on(async move {
            let gateway = Rc::new(Gateway::new(self.shared, self.log));
            let open = Rc::new(Open::default());
            let chores = Rc::clone(&gateway);
            tokio::task::spawn_local(async move { chores.run().await });
            let pulse = self.pulse;
            tokio::task::spawn_local(async move {
                loop {
                    pulse.fetch_add(1, Ordering::Relaxed);
                    sleep(PULSE).await;
                }
            });
            let listeners: Vec<Listener> = self.listeners.iter().map(|(_, listener)| listener.clone()).collect();
            let floor = Floor {
                gateway: Rc::clone(&gateway),
                open: Rc::clone(&open),
                departures: self.departures,
                turns: Rc::new(Turns::new()),
            };
            for (socket, listener) in self.listeners {
                let socket = tokio::net::TcpListener::from_std(socket)?;
                tokio::task::spawn_local(accept(socket, listener, floor.clone(), self.phase.clone()));
            }
            tokio::task::spawn_local(adopt(self.arrivals, listeners, floor, self.phase.clone()));
            let mut phase = self.phase;
            let _ = phase.wait_for(|phase| !matches!(phase, Phase::Waiting | Phase::Running | Phase::Closing)).await;
            gateway.drains();
            tokio::select! {
                () = open.drained() => {}
                _ = phase.wait_for(|phase| *phase == Phase::Stopping) => {}
            }
            gateway.flush();
            Ok(())
        })
    }
}

impl Open {
    fn enter(self: &Rc<Self>) -> Entered {
        self.count.set(self.count.get() + 1);
        Entered(Rc::clone(self))
    }

    async fn drained(&self) {
        while self.count.get() > 0 {
            self.none.notified().await;
        }
    }
}

/// A worker that panics outside of its connections takes the process with it: a restart serves all callers again,
/// half a process does not.
struct DiesLoudly;

impl Drop for DiesLoudly {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a worker has failed: exiting, so that whoever watches this process restarts it");
            process_log::flush();
            std::process::exit(1);
        }
    }
}

/// A connection that is counted until this is dropped.
struct Entered(Rc<Open>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.none.notify_one();
        }
    }
}

/// A connection that is counted on all workers.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// One more, where that is one of so many at most.
    fn one_of(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let counted = Self(Arc::clone(open));
        (before < most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts while the process runs; once it drains, the socket is closed.
async fn accept(socket: tokio::net::TcpListener, listener: Listener, floor: Floor, mut phase: watch::Receiver<Phase>) {
    let serving = phase.clone();
    let _entered = floor.open.enter();
    let mut said = None::<Instant>;
    loop {
        let now = phase.wait_for(|phase| *phase != Phase::Waiting).await.map(|phase| *phase);
        let accepted = match now {
            Ok(Phase::Running | Phase::Closing) => tokio::select! {
                accepted = socket.accept() => accepted,
                _ = phase.changed() => continue,
            },
            // What has been waiting is served: with the socket it would be reset.
            Ok(Phase::Draining) => match timeout(Duration::ZERO, socket.accept()).await {
                Ok(accepted) => accepted,
                Err(_) => return,
            },
            _ => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= ACCEPT_SAID) {
                    tracing::warn!(%error, "cannot accept a connection");
                    said = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Some(counted) = count(&listener, &floor) {
            let (listener, floor, serving) = (listener.clone(), floor.clone(), serving.clone());
            tokio::task::spawn_local(async move {
                let reason = serve(stream, address, &listener, &floor, serving).await;
                floor.gateway.cells().connection_closed(reason);
                drop(counted);
            });
        }
    }
}

/// Serves connections that came to an earlier process.
async fn adopt(
    mut arrivals: mpsc::UnboundedReceiver<Departed>,
    listeners: Vec<Listener>,
    floor: Floor,
    serving: watch::Receiver<Phase>,
) {
    while let Some(Departed(departure, stream)) = arrivals.recv().await {
        let Some(listener) = listeners.iter().find(|listener| listener.address == departure.listener) else {
            continue;
        };
        let Some(counted) = count(listener, &floor) else { continue };
        let (listener, floor, serving) = (listener.clone(), floor.clone(), serving.clone());
        tokio::task::spawn_local(async move {
            let reason = serve_arrival(&departure, stream, &listener, &floor, serving).await;
            floor.gateway.cells().connection_closed(reason);
            drop(counted);
        });
    }
}

/// Counts a connection for as long as what this gives lives; `None` where there are too many.
fn count(listener: &Listener, floor: &Floor) -> Option<(Entered, Counted, Descriptor)> {
    let cells = floor.gateway.cells();
    cells.connection_opened();
    let Some(counted) = Counted::one_of(&listener.open, listener.bounds.now().connections) else {
        cells.connection_closed("too_many");
        return None;
    };
    if floor.gateway.is_short_of_memory() {
        cells.connection_closed("memory");
        return None;
    }
    let Some(descriptor) = Descriptor::take() else {
        cells.connection_closed("descriptors");
        return None;
    };
    Some((floor.open.enter(), counted, descriptor))
}

/// Serves a connection to its end; the word for why it ended.
async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    listener: &Listener,
    floor: &Floor,
    phase: watch::Receiver<Phase>,
) -> &'static str {
    if stream.set_nodelay(true).is_err() {
        return "error";
    }
    let mut ip = address.ip().to_canonical();
    if listener.tls.is_none() && !listener.entrance.now().networks.take_plain_http(ip) {
        tracing::debug!(%ip, "plain http from an address that is not in `plain_http_from`");
        return "plain_http";
    }
    if listener.entrance.now().networks.announce_callers(ip) {
        let announced =
            Box::pin(timeout(listener.bounds.now().limits.handshake_timeout, proxy_protocol::read(&mut stream)));
        match announced.await {
            Ok(Ok(caller)) => ip = caller.map_or(ip, |caller| caller.to_canonical()),
            Ok(Err(error)) => {
                tracing::debug!(%ip, %error, "no PROXY protocol header");
                return "proxy_protocol";
            }
            Err(_) => return "handshake_timeout",
        }
    }
    let _place = match &listener.bounds.now().addresses {
        None => None,
        Some(addresses) => match addresses.enter(ip) {
            None => return "too_many_from_address",
            place => place,
        },
    };
    let Some(tls) = &listener.tls else {
        let connection = listener.connection(ip, false, false, None);
        return Box::pin(serve_http1(Box::new(Socket(stream)), connection, listener, floor, phase)).await;
    };
    // What the handshake will hold the caller's certificate against, or something newer.
    let trust = listener.clients.as_ref().map(|store| store.current());
    // Boxes, here and below: whatever this task has room for stays with the connection for its whole life.
    let stream = match Box::pin(handshake(tls, stream, ip, listener, floor)).await {
        Ok(stream) => Box::new(stream),
        Err(reason) => return reason,
    };
    let session = stream.get_ref().1;
    let shown = listener.clients.as_ref().zip(trust).map(|(store, trust)| Shown {
        server_name: session.server_name().map(Into::into),
        peer: Peer::new(session.peer_certificates(), Arc::clone(store), trust),
    });
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let connection = listener.connection(ip, true, is_http2, shown);
    if is_http2 {
        Box::pin(serve_http2(stream, connection, listener, floor, phase)).await
    } else {
        Box::pin(serve_http1(stream, connection, listener, floor, phase)).await
    }
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
    ip: IpAddr,
    listener: &Listener,
    floor: &Floor,
) -> Result<TlsStream<Socket>, &'static str> {
    let Some(_counted) = Counted::one_of(&listener.handshakes, listener.bounds.now().handshakes) else {
        return Err("too_many_handshakes");
    };
    let work = floor.turns.work(tls.accept(Socket(stream)));
    let patience = listener.bounds.now().limits.handshake_timeout;
    match timeout(patience, work).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            tracing::debug!(%ip, %error, "no TLS handshake");
            if let Some(refused) = refused_certificate(&error) {
                floor.gateway.cells().client_certificate_refused(refused.fault.as_str());
                if let Some(left_out) = listener.refused.allow() {
                    let (subject, reason) = (refused.subject, refused.fault.as_str());
                    tracing::info!(%ip, subject, reason, left_out, "a caller's certificate is refused");
                }
            }
            Err("handshake")
        }
        Err(_) => Err("handshake_timeout"),
    }
}

/// Serves a connection that came to an earlier process, from its next request on.
async fn serve_arrival(
    departure: &Departure,
    stream: OwnedFd,
    listener: &Listener,
    floor: &Floor,
    phase: watch::Receiver<Phase>,
) -> &'static str {
    let shown = match (&listener.clients, &departure.shown) {
        (None, _) => None,
        (Some(store), Some(told)) if !told.chain.is_empty() || !store.client_auth_mandatory() => {
            Some(told.shown(store))
        }
        // Nobody has asked this caller for a certificate.
        (Some(_), _) => return "handshake",
    };
    let connection = listener.connection(departure.address, departure.secure, false, shown);
    if departure.is_tcp {
        let Ok(stream) = TcpStream::from_std(stream.into()) else { return "error" };
        Box::pin(serve_http1(Box::new(Socket(stream)), connection, listener, floor, phase)).await
    } else {
        let Ok(stream) = UnixStream::from_std(stream.into()) else { return "error" };
        // The process at the other end of the pipe waits for its end.
        connection.end_soon();
        Box::pin(serve_http1(Box::new(stream), connection, listener, floor, phase)).await
    }
}

async fn serve_http1<Stream: Leaving>(
    stream: Box<Stream>,
    connection: Rc<Connection>,
    listener: &Listener,
    floor: &Floor,
    phase: watch::Receiver<Phase>,
) -> &'static str {
    let gateway = &floor.gateway;
    let limits = &connection.limits;
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(limits.head).max_buf_size(limits.head.max(8 * 1024) + 32 * 1024);
    if limits.fields > 100 {
        // More than the parser's default costs an allocation for each request.
        builder.max_headers(limits.fields);
    }
    let wire = Wire::http1(stream, Rc::clone(&connection), Rc::clone(gateway));
    let service = answering(gateway, &connection);
    let mut serving = builder.serve_connection(TokioIo::new(wire), service);
    let ended =
        watched(Pin::new(&mut serving), |serving| serving.graceful_shutdown(), &connection, phase, gateway).await;
    if ended == LEAVES {
        let parts = serving.into_parts();
        // Whatever was read of a next request is still seen as such, so nothing was.
        if parts.read_buf.is_empty() {
            let stream = *parts.io.into_inner().into_stream();
            connection_handoff::depart(stream, &connection, listener, &floor.departures).await;
        }
        return ended;
    }
    match Tunnel::of(&connection) {
        Some(tunnel) if matches!(ended, "caller" | "closed") => {
            let parts = serving.into_parts();
            Box::pin(tunnel.run(parts.io.into_inner().into_stream(), parts.read_buf)).await;
            "websocket"
        }
        _ => ended,
    }
}

async fn serve_http2<Stream>(
    stream: Box<Stream>,
    connection: Rc<Connection>,
    listener: &Listener,
    floor: &Floor,
    phase: watch::Receiver<Phase>,
) -> &'static str
where
    Stream: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let gateway = &floor.gateway;
    let limits = &connection.limits;
    let streams = Streams::new(limits.body_idle_timeout);
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_send_buf_size(64 * 1024);
    if gateway.has_websockets() {
        builder.enable_connect_protocol();
    }
    let wire = Wire::http2(stream, Rc::clone(&connection));
    let answering = answering(gateway, &connection);
    let service = service_fn(move |request| {
        let (streams, reader, answer) = (streams.clone(), streams.begin(), answering.call(request));
        // Each stream is a task: what is moved into it should be small.
        Box::pin(async move { answer.await.map(|answer| answer.map(|body| streams.body(body, reader))) })
    });
    let serving = builder.serve_connection(TokioIo::new(wire), service);
    let ended = watched(pin!(serving), |_| connection.set_drain(Drain::Close), &connection, phase, gateway).await;
    // No request, so no line of the access log, as bytes that are not HTTP/1.1 have.
    if matches!(ended, "malformed" | "flood")
        && let Some(left_out) = listener.broken.allow()
    {
        let ip = connection.source().address;
        tracing::info!(%ip, reason = ended, left_out, "a caller's HTTP/2 connection is closed for what it sends");
    }
    ended
}

/// Hands the requests of a connection to the gateway.
fn answering(
    gateway: &Rc<Gateway>,
    connection: &Rc<Connection>,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: 'static> + use<> {
    let (gateway, connection) = (Rc::clone(gateway), Rc::clone(connection));
    service_fn(move |request| {
        let (gateway, connection) = (Rc::clone(&gateway), Rc::clone(&connection));
        let (is_http2, discard) = (connection.is_multiplexed(), connection.discard());
        let request = Box::new(request.map(|body| ArrivingBody::new(body, is_http2, discard, &connection.arriving)));
        async move { Ok(gateway.handle(connection, request).await) }
    })
}
