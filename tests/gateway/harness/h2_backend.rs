//! A backend that speaks HTTP/2, over plain TCP with prior knowledge or over TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

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
    /// Answers at once and as a whole, and wants no more of the request.
    Early,
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
}

pub(crate) struct H2Backend {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl H2Backend {
    /// Over TLS with this certificate, which offers these protocols; or without.
    pub(crate) fn start(tls: Option<(&Pair, &[&[u8]])>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let (state, acceptor) = (Arc::clone(&backend.state), tls.map(|(pair, protocols)| acceptor(pair, protocols)));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve(state, stream).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(state, stream).await;
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

    /// What has arrived whole.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
}

fn acceptor(pair: &Pair, protocols: &[&[u8]]) -> tokio_rustls::TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config).into()
}

async fn serve(state: Arc<Mutex<State>>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let number = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.connections
    };
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let (act, count) = {
            let mut state = state.lock().unwrap();
            state.begun += 1;
            (state.acts.get(&path).copied().unwrap_or(Act::Echo), state.begun)
        };
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
    if matches!(act, Act::Early) {
        let mut stream = respond.send_response(Response::new(()), false).ok()?;
        return stream.send_data(Bytes::from_static(b"enough"), true).ok();
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
    if let Act::Say(status, head, _) = act {
        *response.status_mut() = status.try_into().unwrap();
        *response.headers_mut() = fields(head);
    }
    let mut stream = respond.send_response(response, false).ok()?;
    stream.send_data(body.into(), false).ok()?;
    if let Act::Cut(reason) = act {
        // What was said goes out first.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(reason);
        return None;
    }
    let trailers = match act {
        Act::Say(_, _, trailers) => fields(trailers),
        _ => fields(&[("grpc-status", "0")]),
    };
    if trailers.is_empty() { stream.send_data(Bytes::new(), true).ok() } else { stream.send_trailers(trailers).ok() }
}
