//! One request and its response: the record of log and counts, and the state that its steps leave for the response.

use std::rc::Rc;

use super::cors::CorsContext;
use super::error::Refused;
use super::host::Host;
use super::observe::record::Record;
use super::rate_limit::apply::RateLimitHeaders;
use super::request::call::Call;
use super::websocket::handshake::Handshake;
use super::websocket::tunnel::Agreed;
use crate::auth::dpop::Proof;
use crate::policy::route::Route;
use crate::refusal::DpopFault;

/// The state of one exchange, from its head to the head of its response.
pub(crate) struct Exchange {
    /// Its record in log and metrics.
    pub(crate) record: Box<Record>,
    /// The `RateLimit` fields of its response.
    pub(super) rate_limit_headers: Option<Box<RateLimitHeaders>>,
    /// The CORS fields of its response.
    pub(crate) cors: Option<Box<CorsContext>>,
    /// The requested WebSocket, until the backend has answered.
    pub(crate) handshake: Option<Box<Handshake>>,
    /// The requested host, once the call is on its way.
    pub(super) host: Option<Rc<Host>>,
    /// The WebSocket that both sides have agreed on.
    pub(super) agreed: Option<Box<Agreed>>,
}

impl Exchange {
    /// Begins with the open record of the request.
    pub(crate) fn new(record: Box<Record>) -> Self {
        Self { record, rate_limit_headers: None, cors: None, handshake: None, host: None, agreed: None }
    }

    /// Reads a requested WebSocket handshake, on a route that takes one.
    ///
    /// # Errors
    /// See [`Handshake::read`].
    pub(super) fn read_handshake(&mut self, route: &Route, call: &mut Call<'_>) -> Result<(), Refused> {
        if call.asks_upgrade {
            self.handshake = Handshake::read(route, call)?;
        }
        Ok(())
    }

    /// Keeps the DPoP proof of a handshake, by which the caller is checked again later.
    pub(super) fn keep_proof(&mut self, proof: Option<Result<Proof, DpopFault>>) {
        if let Some(handshake) = &mut self.handshake {
            handshake.proof = proof;
        }
    }
}
