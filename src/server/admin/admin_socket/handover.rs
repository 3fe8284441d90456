//! Takeover by another process: it asks on the socket, and the connection then speaks the protocol of an upgrade.

use std::io;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::unix::UCred;
use tokio::sync::mpsc;

use super::Wish;
use super::api_error::Fault;
use crate::server::upgrade::lock_owner::Owner;
use crate::server::upgrade::{self, Successor};

pub(super) fn asks_for_handover(request: &Request<Incoming>) -> bool {
    request.method() == Method::POST
        && request.uri().path() == "/handover"
        && request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == upgrade::PROTOCOL)
}

/// Checks that the requesting process may take over.
pub(super) fn successor(owner: &Owner, request: &Request<Incoming>, peer: &io::Result<UCred>) -> Result<(), Fault> {
    let fault = |message: String| {
        tracing::warn!(reason = message, "takeover by another process refused");
        Fault(StatusCode::CONFLICT, message)
    };
    let told = request.headers().get(upgrade::SUCCESSOR);
    let other: Owner = told
        .and_then(|told| serde_json::from_slice(told.as_bytes()).ok())
        .ok_or_else(|| fault(format!("{owner} runs, and the one that asks does not say who it is")))?;
    let peer = peer.as_ref().map_err(|error| fault(format!("{owner} cannot see who asks: {error}")))?;
    owner.admits(&other, peer).map_err(fault)
}

/// Switches the connection to the upgrade protocol.
pub(super) fn hand_over(request: Request<Incoming>, wishes: mpsc::Sender<Wish>) -> Response<Full<Bytes>> {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.ok()?;
        let stream = upgraded.downcast::<TokioIo<tokio::net::UnixStream>>().ok()?.io.into_inner();
        wishes.send(Wish::Handover(Successor::new(stream))).await.ok()
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(upgrade::PROTOCOL));
    response
}
