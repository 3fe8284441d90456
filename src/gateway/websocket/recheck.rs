//! The repeated check of an open WebSocket: it ends once its caller would be refused.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request};
use tokio::time::sleep;

use super::handshake::Handshake;
use crate::gateway::Gateway;
use crate::gateway::connection::Connection;
use crate::gateway::connection::framing::BodyFraming;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::{Call, Upload};
use crate::gateway::request::head::Head;
use crate::policy::Target;
use crate::policy::path::NonCanonical;
use crate::policy::route::{Route, Websocket};
use crate::refusal::Refusal;

impl Gateway {
    /// Runs until the caller of an open WebSocket would be refused; returns the refusal.
    pub(super) async fn refuses(
        &self,
        handshake: &Handshake,
        limits: &Websocket,
        connection: &Connection,
        record: &mut Record,
    ) -> Refusal {
        loop {
            sleep(limits.recheck).await;
            if let Err(refusal) = self.still_admits(handshake, connection, record).await {
                return refusal;
            }
        }
    }

    /// Checks that the caller would be admitted now, by the policy in force now.
    async fn still_admits(
        &self,
        handshake: &Handshake,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let current = self.current();
        // Where it comes from, by what the listener says now about addresses and proxies.
        connection.renew();
        let source = connection.source_of(&handshake.shown)?;
        if !source.allowed {
            return Err(Refusal::AddressNotAllowed);
        }
        let policy = &current.policy;
        let table = policy.tables.get(connection.settings().number).ok_or(Refusal::NoRoute)?;
        let target = table.find(&handshake.host.name, &handshake.path, &Method::GET).map_err(|_| Refusal::NoRoute)?;
        // Among routes of one path it stays with that by which it was opened, as its conditions are now.
        let is_same = |route: &&Route| matches!(target, Target::Route(_)) || *route.name == *handshake.route;
        let route = policy.routes_of(&target).map(|(_, route)| route).find(is_same).ok_or(Refusal::NoRoute)?;
        if route.websocket.is_none() {
            return Err(Refusal::NoRoute);
        }
        if route.networks.as_ref().is_some_and(|networks| !networks.admit(source.address)) {
            return Err(Refusal::AddressNotAllowed);
        }
        let mut parts = Request::new(()).into_parts().0;
        parts.headers.clone_from(&handshake.shown);
        let call = Call {
            policy,
            generation: current.generation,
            connection,
            source,
            head: Head {
                host: Rc::clone(&handshake.host),
                body: BodyFraming::Length(0),
                non_canonical: NonCanonical::default(),
            },
            parts,
            body: Upload::Read(Bytes::new()),
            asks_upgrade: true,
            is_asked_about: false,
        };
        let admitted = self.admit(route, &call, handshake.proof.as_ref(), record).await;
        admitted.map(drop).map_err(|refused| refused.refusal)
    }
}
