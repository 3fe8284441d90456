//! One client connection from its first byte: PROXY protocol, limit per address, TLS handshake, then HTTP.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Floor;
use super::open_connections::CountedConnection;
use super::serve_http::{serve_http1, serve_http2};
use crate::auth::tls::peer::Peer;
use crate::auth::tls::trust::refused_certificate;
use crate::gateway::connection::TlsClientInfo;
use crate::server::connection::proxy_protocol;
use crate::server::upgrade::Departure;
use crate::server::{Listener, Phase};
use crate::socket::Socket;

/// Serves a connection; returns the reason for its end.
pub(super) async fn serve(
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
    if listener.tls.is_none() && !listener.settings.now().networks.take_plain_http(ip) {
        tracing::debug!(%ip, "plain http from an address that is not in `plain_http_from`");
        return "plain_http";
    }
    if listener.settings.now().networks.announce_callers(ip) {
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
    let shown = listener.clients.as_ref().zip(trust).map(|(store, trust)| TlsClientInfo {
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
    let Some(_counted) = CountedConnection::one_of(&listener.handshakes, listener.bounds.now().handshakes) else {
        return Err("too_many_handshakes");
    };
    let work = floor.turns.work(tls.accept(Socket(stream)));
    let patience = listener.bounds.now().limits.handshake_timeout;
    match timeout(patience, work).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            tracing::debug!(%ip, %error, "TLS handshake failed");
            if let Some(refused) = refused_certificate(&error) {
                floor.gateway.worker_metrics().client_certificate_refused(refused.fault.as_str());
                if let Some(left_out) = listener.refused.allow() {
                    let (subject, reason) = (refused.subject, refused.fault.as_str());
                    tracing::info!(%ip, subject, reason, left_out, "client certificate refused");
                }
            }
            Err("handshake")
        }
        Err(_) => Err("handshake_timeout"),
    }
}

/// Serves a connection that an earlier process accepted, from its next request on; returns the reason for its end.
pub(super) async fn serve_arrival(
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
