//! Errors of the operators' API: a status code and a sentence that says what to do.

use http::StatusCode;

use crate::state::Unavailable;

/// What was named is no name.
pub(super) const SECRET: &str = "this is a secret, and no name of anything: a JWT, a refresh token or the value of a session cookie goes to \
     `wicketgate revoke token -`, on standard input and without --issuer; API keys go by their id, and clients by theirs";

/// Why nothing was done, in a sentence that says what to do.
pub(super) struct Fault(pub(super) StatusCode, pub(super) String);

impl From<Unavailable> for Fault {
    fn from(_: Unavailable) -> Self {
        let message = "the state store is away, and nobody here can tell: see the log of the gateway, then ask again";
        Self(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
    }
}

impl Fault {
    /// Rules are in force here, and nobody knows whether the store has them.
    pub(super) fn here_only(_: Unavailable) -> Self {
        let message = "the state store has not acknowledged this: what was revoked is in force in this process, and may not \
                       be elsewhere or after a restart; see its log, then do it again";
        Self(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
    }
}
