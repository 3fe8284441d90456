//! What the own endpoints note in the audit log: logins, tokens, logouts, revocations, and what other issuers tell.

use crate::audit::AuditEvent;
use crate::customer::Identifier;
use crate::gateway::Gateway;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;

/// The outcome of what went well.
const OK: &str = "ok";

/// A kind of event, and the name under which its failures are counted together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EndpointEvent {
    Login,
    Token,
    Logout,
    Revocation,
    IssuerEvent,
}

impl EndpointEvent {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Login => ("login", "login_failures"),
            Self::Token => ("token", "token_failures"),
            Self::Logout => ("logout", "logout_failures"),
            Self::Revocation => ("revocation", "revocation_failures"),
            Self::IssuerEvent => ("issuer_event", "issuer_event_failures"),
        }
    }
}

impl Gateway {
    /// Notes an event of a request, with what is known of the caller.
    pub(super) fn note(&self, kind: EndpointEvent, record: &Record, outcome: &'static str) {
        let (name, failures) = kind.names();
        let known = &record.known;
        let mut event = AuditEvent::new(name, outcome)
            .with("request_id", record.id())
            .with("client_address", record.source.address_text())
            .with_some("client", known.client.as_deref())
            .with_some("customer", known.customer.as_ref().map(Identifier::as_str))
            .with_some("attempt", record.attempt.as_deref());
        for (key, value) in &record.facts {
            event = event.with(key, &**value);
        }
        self.shared.audit.note(if outcome == OK { event } else { event.counted_as(failures) });
    }

    /// The same for an outcome.
    pub(super) fn note_outcome<T>(&self, kind: EndpointEvent, record: &Record, outcome: &Result<T, Refused>) {
        self.note(kind, record, outcome.as_ref().err().map_or(OK, |refused| refused.refusal.as_str()));
    }
}
