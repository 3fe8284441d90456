//! What the operators' socket notes in the audit log: everything that changes something, and who asked.

use std::io;

use http::Method;
use serde_json::Value;
use tokio::net::unix::UCred;

use super::api_error::Fault;
use crate::audit::AuditEvent;

/// A request that is noted: its event, without the outcome.
pub(super) struct AuditedRequest {
    name: &'static str,
    uid: Option<u32>,
    pid: Option<i32>,
}

impl AuditedRequest {
    /// `None` where nothing is changed, nor the state read as a whole.
    pub(super) fn of<B>(request: &http::Request<B>, peer: &io::Result<UCred>) -> Option<Self> {
        let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        let name = match (request.method(), &path[..]) {
            (&Method::DELETE, ["sessions", _]) => "session_ended",
            (&Method::DELETE, ["attempts"]) => "attempts_cleared",
            (&Method::POST, ["revocations"]) => "revocation",
            (&Method::POST, ["reload"]) => "reload_asked",
            (&Method::POST, ["handover"]) => "handover_asked",
            // Of several pages the first.
            (&Method::GET, ["state", "records"]) if request.uri().query().is_none() => "state_read",
            _ => return None,
        };
        let peer = peer.as_ref().ok();
        Some(Self { name, uid: peer.map(UCred::uid), pid: peer.and_then(UCred::pid) })
    }

    /// The event, with the names of what was changed: of these the answer has no secret, as the request may.
    pub(super) fn event(self, outcome: &Result<Value, Fault>) -> AuditEvent {
        match outcome {
            Ok(answer) => {
                let event = AuditEvent::new(self.name, "ok").by_operator(self.uid, self.pid);
                if self.name == "state_read" { event } else { about(event, answer) }
            }
            Err(Fault(status, _)) => {
                let event = AuditEvent::new(self.name, "failed").by_operator(self.uid, self.pid);
                event.with("status", status.as_u16())
            }
        }
    }
}

/// With the names of what an answer says was changed: opaque ones, and digests of the names that were tried.
pub(in crate::server::admin) fn about(event: AuditEvent, answer: &Value) -> AuditEvent {
    const NAMES: [&str; 7] = ["id", "ended", "customer", "kind", "revoked", "attempt", "cleared"];
    NAMES
        .into_iter()
        .fold(event, |event, key| event.with_some(key, answer.get(key).filter(|value| !value.is_null()).cloned()))
}
