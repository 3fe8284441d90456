//! Errors of the operators' API: a status code and a sentence that says what to do.

use http::StatusCode;

use crate::state::Unavailable;

/// A secret was given where a name belongs.
pub(super) const SECRET: &str = "this is a secret, and no name of anything: a JWT, a refresh token or the value of a session cookie goes to \
     `wicketgate revoke token -`, on standard input and without --issuer; API keys go by their id, and clients by theirs";

/// Status code, and a sentence that says what to do.
pub(in crate::server::admin) struct Fault(pub(in crate::server::admin) StatusCode, pub(in crate::server::admin) String);

impl From<Unavailable> for Fault {
    fn from(_: Unavailable) -> Self {
        let message = "the state store is away, and nobody here can tell: see the log of the gateway, then ask again";
        Self(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
    }
}

impl Fault {
    /// Revoked in this process, but not acknowledged by the state store.
    pub(super) fn here_only(_: Unavailable) -> Self {
        let message = "the state store has not acknowledged this: what was revoked is in force in this process, and may not \
                       be elsewhere or after a restart; see its log, then do it again";
        Self(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
    }
}
