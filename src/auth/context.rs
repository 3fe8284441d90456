//! Context of a check: time, connection, cache and state in, and the lookups that it waits for.

use std::net::IpAddr;
use std::sync::Arc;

use super::attribution::Attribution;
use super::dpop;
use super::jwt::remote_jwks::PublishedKeys;
use super::opaque_token::{TokenAnswers, TokenQuestion};
use super::tls::certificate::Certificate;
use super::token_cache::VerifiedTokens;
use crate::explanation::trace::StepSink;
use crate::refusal::{DpopFault, Refusal};
use crate::state::State;
use crate::state::session::{Session, SessionDigest};

/// Context of a check, from the worker.
pub struct AuthContext<'a> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The caller's address.
    pub address: IpAddr,
    /// The caller's certificate, where it has shown one.
    pub certificate: Option<&'a Certificate>,
    /// Its DPoP proof, where the route takes them and the request has one.
    pub proof: Option<&'a Result<dpop::Proof, DpopFault>>,
    /// The longest token that is read, in bytes.
    pub longest_token: usize,
    /// The cache of verified tokens of this worker.
    pub verified: &'a mut VerifiedTokens,
    /// Logins and revocations.
    pub state: &'a State,
    /// A lookup that must end before the check can be decided.
    pub ask: Option<PendingLookup>,
    /// Results of earlier lookups.
    pub learned: LookupResult,
    /// Owners of credentials that are authentic, and yet refused.
    pub known: Attribution,
    /// Receives the steps, where the request is explained. Then nothing has an effect.
    pub steps: StepSink<'a>,
}

/// Lookup of a fact that the worker does not have.
#[derive(Debug)]
pub enum PendingLookup {
    /// A session, from the store.
    Store(SessionDigest),
    /// The keys of an issuer, for a customer's token.
    Issuer(Arc<PublishedKeys>),
    /// The proof of a client by its id and secret, in `Authorization`.
    ClientSecret,
    /// The keys of an issuer, for a client's token.
    ClientIssuer(Arc<PublishedKeys>),
    /// What issuers say about a customer's token that only they can read.
    Token(TokenQuestion),
    /// The same about a client's.
    ClientToken(TokenQuestion),
}

/// Results of lookups for a request.
#[derive(Debug, Clone, Default)]
pub struct LookupResult {
    /// A session, from the store.
    pub session: Option<(SessionDigest, Option<Session>)>,
    /// The keys of the customer's issuer have been asked for, with any result.
    pub keys: bool,
    /// The same of the client's issuer.
    pub client_keys: bool,
    /// The client that an id and a secret in `Authorization` prove.
    pub client: Option<Result<Arc<str>, Refusal>>,
    /// What issuers have said about a customer's token that only they can read.
    pub token: Option<Arc<TokenAnswers>>,
    /// The same about a client's.
    pub client_token: Option<Arc<TokenAnswers>>,
}
