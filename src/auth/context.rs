//! Context of a check: time, connection, cache and state in, and the lookups that it waits for.

use std::net::IpAddr;
use std::sync::Arc;

use super::attribution::Known;
use super::dpop;
use super::jwt::remote_jwks::PublishedKeys;
use super::tls::certificate::Certificate;
use super::token_cache::VerifiedTokens;
use crate::refusal::DpopFault;
use crate::state::State;
use crate::state::session::{Session, SessionDigest};

/// Context of a check, from the worker.
pub struct Surroundings<'a> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The caller's address.
    pub address: IpAddr,
    /// The caller's certificate, where it has shown one.
    pub certificate: Option<&'a Certificate>,
    /// Its proof of having a key, where the route asks for such and there is one.
    pub proof: Option<&'a Result<dpop::Proof, DpopFault>>,
    /// Tokens that this worker has verified before.
    pub verified: &'a mut VerifiedTokens,
    /// Logins and revocations.
    pub state: &'a State,
    /// A lookup that must end before the check can be decided.
    pub ask: Option<Ask>,
    /// Results of earlier lookups.
    pub learned: Learned,
    /// Owners of credentials that are authentic, and yet refused.
    pub known: Known,
}

/// Lookup of a fact that the worker does not have.
#[derive(Debug)]
pub enum Ask {
    /// The store, about this session.
    Store(SessionDigest),
    /// An issuer, about its keys.
    Issuer(Arc<PublishedKeys>),
}

/// Results of lookups for a request.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// The store about a session.
    pub session: Option<(SessionDigest, Option<Session>)>,
    /// An issuer was asked for its keys, whatever it said.
    pub keys: bool,
}
