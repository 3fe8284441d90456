//! An open WebSocket: bytes pass unchanged in both directions, for as long as the caller would still be admitted.

use std::rc::Rc;

use bytes::Bytes;
use http::{header, response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use super::handshake::Handshake;
use super::relay::{Relay, RelayEnd};
use crate::gateway::Gateway;
use crate::gateway::connection::Connection;
use crate::gateway::observe::record::Record;
use crate::gateway::response::response_framing::AnswerFault;
use crate::policy::route::{Route, Websocket};

/// A handshake that both sides have agreed on.
pub(crate) struct Agreed {
    handshake: Box<Handshake>,
    backend: OnUpgrade,
    limits: Websocket,
}

/// A WebSocket whose response is on its way to the caller.
pub(crate) struct Tunnel {
    agreed: Agreed,
    gateway: Rc<Gateway>,
    connection: Rc<Connection>,
    record: Box<Record>,
}

impl Agreed {
    /// The agreement that the backend makes with this 101. Takes its connection out of the head.
    ///
    /// # Errors
    /// [`AnswerFault::Handshake`]: it does not answer this handshake.
    pub(crate) fn new(
        route: &Route,
        handshake: Box<Handshake>,
        head: &mut response::Parts,
    ) -> Result<Self, AnswerFault> {
        let backend = head.extensions.remove::<OnUpgrade>().ok_or(AnswerFault::Handshake)?;
        let limits = route.websocket.filter(|_| handshake.is_answered_by(head)).ok_or(AnswerFault::Handshake)?;
        Ok(Self { handshake, backend, limits })
    }

    /// Makes the head of the backend's response the one of the response to the caller.
    pub(crate) fn answer(&self, head: &mut response::Parts) {
        // What follows has no length (RFC 9110 section 8.6), and over HTTP/2 this is no longer a 101.
        head.headers.remove(header::CONTENT_LENGTH);
        self.handshake.answer(head);
    }
}

impl Gateway {
    /// True if some route has WebSockets.
    pub(crate) fn has_websockets(&self) -> bool {
        self.current().policy.routes.iter().any(|route| route.websocket.is_some())
    }

    /// Hands the WebSocket over to the owner of the caller's bytes, once the response is out.
    pub(crate) fn open(self: &Rc<Self>, agreed: Agreed, connection: Rc<Connection>, record: Box<Record>) {
        let mut tunnel = Tunnel { agreed, gateway: Rc::clone(self), connection: Rc::clone(&connection), record };
        match tunnel.agreed.handshake.stream.take() {
            None => connection.upgrade_to(Box::new(tunnel)),
            Some(stream) => {
                tokio::task::spawn_local(async move {
                    if let Some(stream) = stream.stream().await {
                        tunnel.run(stream, Bytes::new()).await;
                    }
                });
            }
        }
    }
}

impl Tunnel {
    /// The WebSocket that this connection has become.
    pub(crate) fn of(connection: &Connection) -> Option<Box<Self>> {
        connection.take_upgrade()?.downcast().ok()
    }

    /// Relays bytes between the caller and the backend until the end.
    pub(crate) async fn run(self, caller: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let Self { agreed: Agreed { handshake, backend, limits }, gateway, connection, record } = self;
        // Its connection has just brought the answer, so this is at hand.
        let Ok(Ok(backend)) = timeout(limits.idle, backend).await else { return };
        let until = Instant::now() + limits.lifetime;
        let relay = Relay::new(caller, TokioIo::new(backend), early, limits.idle);
        gateway.worker_metrics().tunnel_opened();
        let mut open = Open { relay, record, gateway: &gateway, reason: "shutdown" };
        let mut is_closing = false;
        open.reason = loop {
            tokio::select! {
                (end, is_whole) = open.relay.run() => {
                    if is_whole {
                        open.record.completed();
                    }
                    break match end {
                        _ if is_closing => "shutdown",
                        RelayEnd::Caller => "caller",
                        RelayEnd::Backend => "backend",
                        RelayEnd::Idle => "idle",
                    };
                }
                () = sleep_until(until) => break "lifetime",
                refusal = gateway.refuses(&handshake, &limits, &connection, &mut open.record) => {
                    open.record.refusal = Some(refusal);
                    break "refused";
                }
                () = Rc::clone(&gateway.farewell).is_due(), if !is_closing => {
                    is_closing = true;
                    open.relay.close();
                }
            }
        };
    }
}

/// An open WebSocket. It is counted and written down however it ends, also with its worker.
struct Open<'a, Caller: AsyncRead + AsyncWrite + Unpin> {
    relay: Relay<Caller, TokioIo<Upgraded>>,
    record: Box<Record>,
    gateway: &'a Gateway,
    reason: &'static str,
}

impl<Caller: AsyncRead + AsyncWrite + Unpin> Drop for Open<'_, Caller> {
    fn drop(&mut self) {
        let (up, down) = self.relay.moved();
        self.record.progress.passed(up);
        self.record.passed(usize::try_from(down).unwrap_or(usize::MAX));
        self.gateway.worker_metrics().tunnel_closed(&self.record.route, self.reason);
    }
}
