//! A backend that speaks HTTP/2, over plain TCP with prior knowledge or over TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::keys::Pair;

/// What is done with a request.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Answers with the body that came, and with a trailer.
    Echo,
    /// Resets the first so many with this reason, and echoes the others.
    Reset(usize, h2::Reason),
    /// Says GOAWAY with each answer.
    GoAway,
    /// Answers a part of the body, and resets with this reason.
    Cut(h2::Reason),
    /// Answers with this status and these fields, with the body that came, and with these trailers.
    Say(u16, Fields, Fields),
    /// Answers as `Echo`, once `release` has been called.
    Hold,
    /// Answers 413 without reading anything, and wants no more of the request (RFC 9113 section 8.1).
    Early,
    /// Answers with a header field of so many bytes.
    Head(usize),
    /// Cuts the connection, with all streams on it.
    HangUp,
    /// Answers a body of so many bytes, as fast as it is taken.
    Large(usize),
}

/// Header fields or trailers.
pub(crate) type Fields = &'static [(&'static str, &'static str)];

fn fields(pairs: Fields) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        fields.append(http::HeaderName::from_lowercase(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    fields
}

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) head: http::request::Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

#[derive(Default)]
struct State {
    connections: usize,
    begun: usize,
    seen: Vec<Seen>,
    acts: BTreeMap<String, Act>,
    is_released: bool,
    /// How many bytes of large bodies were taken.
    taken: usize,
}

pub(crate) struct H2Backend {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl H2Backend {
    /// Over TLS with this certificate, which offers these protocols; or without.
    pub(crate) fn start(tls: Option<(&Pair, &[&[u8]])>) -> Self {
        Self::start_allowing(None, tls)
    }

    /// The same with at most so many streams at once on a connection (SETTINGS_MAX_CONCURRENT_STREAMS).
    pub(crate) fn start_allowing(streams: Option<u32>, tls: Option<(&Pair, &[&[u8]])>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let (state, acceptor) = (
            Arc::clone(&backend.state),
            tls.map(|(pair, protocols)| tokio_rustls::TlsAcceptor::from(server_tls(pair, protocols))),
        );
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve(state, stream, streams).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(state, stream, streams).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        backend
    }

    pub(crate) fn on(&self, path: &str, act: Act) {
        self.state.lock().unwrap().acts.insert(path.to_owned(), act);
    }

    /// Lets what is held be answered, and all that comes.
    pub(crate) fn release(&self) {
        self.state.lock().unwrap().is_released = true;
    }

    /// How many requests have begun.
    pub(crate) fn begun(&self) -> usize {
        self.state.lock().unwrap().begun
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// How many bytes of large bodies were taken.
    pub(crate) fn taken(&self) -> usize {
        self.state.lock().unwrap().taken
    }

    /// What has arrived whole.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
}

/// TLS of a server with this certificate, which offers these protocols.
pub(crate) fn server_tls(pair: &Pair, protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

async fn serve(state: Arc<Mutex<State>>, stream: impl AsyncRead + AsyncWrite + Unpin, streams: Option<u32>) {
    let number = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.connections
    };
    let mut builder = h2::server::Builder::new();
    if let Some(streams) = streams {
        builder.max_concurrent_streams(streams);
    }
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let (act, count) = {
            let mut state = state.lock().unwrap();
            state.begun += 1;
            (state.acts.get(&path).copied().unwrap_or(Act::Echo), state.begun)
        };
        if matches!(act, Act::HangUp) {
            return;
        }
        if matches!(act, Act::GoAway) {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(Arc::clone(&state), number, count, act, request, respond));
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    connection: usize,
    count: usize,
    act: Act,
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Option<()> {
    let (head, mut incoming) = request.into_parts();
    if let Act::Reset(first, reason) = act
        && count <= first
    {
        respond.send_reset(reason);
        return None;
    }
    if let Act::Early = act {
        let response = Response::builder().status(413).body(()).ok()?;
        let mut stream = respond.send_response(response, false).ok()?;
        stream.send_data("too large".into(), true).ok()?;
        said().await;
        respond.send_reset(h2::Reason::NO_ERROR);
        return None;
    }
    while matches!(act, Act::Hold) && !state.lock().unwrap().is_released {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Act::Large(mut left) = act {
        let mut stream = respond.send_response(Response::new(()), false).ok()?;
        while left > 0 {
            stream.reserve_capacity(left.min(64 * 1024));
            let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?.min(left);
            stream.send_data(vec![b'l'; capacity].into(), capacity == left).ok()?;
            left -= capacity;
            state.lock().unwrap().taken += capacity;
        }
        return Some(());
    }
    let mut body = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece.ok()?;
        incoming.flow_control().release_capacity(piece.len()).ok()?;
        body.extend_from_slice(&piece);
    }
    let trailers = incoming.trailers().await.ok()?;
    state.lock().unwrap().seen.push(Seen { connection, head, body: body.clone(), trailers });
    let mut response = Response::builder().header("content-type", "application/grpc").body(()).ok()?;
    match act {
        Act::Say(status, head, _) => {
            *response.status_mut() = status.try_into().unwrap();
            *response.headers_mut() = fields(head);
        }
        Act::Head(size) => drop(response.headers_mut().insert("x-large", "h".repeat(size).parse().unwrap())),
        _ => {}
    }
    let mut stream = respond.send_response(response, false).ok()?;
    stream.send_data(body.into(), false).ok()?;
    if let Act::Cut(reason) = act {
        said().await;
        stream.send_reset(reason);
        return None;
    }
    let trailers = match act {
        Act::Say(_, _, trailers) => fields(trailers),
        _ => fields(&[("grpc-status", "0")]),
    };
    if trailers.is_empty() { stream.send_data(Bytes::new(), true).ok() } else { stream.send_trailers(trailers).ok() }
}

/// Lets go out what was said.
async fn said() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
