//! DPoP proofs and certificate binding: the sender of a request must hold the key that its token is bound to (RFC 9449,
//! RFC 8705).

use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, Uri};

use crate::auth::dpop::Proof;
use crate::auth::jwt::confirmation::Binding;
use crate::auth::{Caller, Client};
use crate::customer::Identifier;
use crate::gateway::Gateway;
use crate::gateway::rate_limit::keys::network;
use crate::gateway::request::call::Call;
use crate::policy::path;
use crate::refusal::{DpopFault, Refusal};
use crate::state::replay::{self, Use};

/// The header field of the proof (RFC 9449 section 4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The DPoP proof in this request, checked against all of it but its token; `None` without one. `now` is in seconds
/// since 1970.
pub(crate) fn proof(call: &Call<'_>, now: u64) -> Option<Result<Proof, DpopFault>> {
    let mut fields = call.parts.headers.get_all(DPOP).iter();
    let field = fields.next()?;
    Some(if fields.next().is_some() { Err(DpopFault::Malformed) } else { read(field, call, now) })
}

fn read(field: &HeaderValue, call: &Call<'_>, now: u64) -> Result<Proof, DpopFault> {
    let proof = Proof::read(field.to_str().map_err(|_| DpopFault::Malformed)?)?;
    if !is_target(&proof.target, call) {
        return Err(DpopFault::Target);
    }
    proof.is_for(call.parts.method.as_str(), now, skew(call))?;
    Ok(proof)
}

/// Accepted clock difference of the caller, in seconds.
fn skew(call: &Call<'_>) -> u64 {
    call.policy.issuer.as_ref().map_or(0, |issuer| issuer.clock_skew)
}

/// True if `htu` names the requested URI, apart from query and fragment (RFC 9449 section 4.3).
fn is_target(text: &str, call: &Call<'_>) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let host = &call.head.host;
    let Some(Ok(asked)) = host.authority.to_str().ok().map(str::parse::<Authority>) else { return false };
    let (right, usual) = if host.secure { ("https", 443) } else { ("http", 80) };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    scheme == right
        && !authority.as_str().contains('@')
        && authority.host().eq_ignore_ascii_case(&host.name)
        && port(authority) == port(&asked)
        && path::normal(uri.path()).is_ok_and(|path| path.text == call.parts.uri.path())
}

/// The owner, for the replay store, of assertions and proofs of this client.
pub(crate) fn once_owner(client: &str) -> String {
    format!("client {client}")
}

/// The owner of a caller's proofs, for the replay store: an identity that is harder to multiply than a key.
pub(crate) fn owner_of(caller: &Caller, call: &Call<'_>) -> String {
    match (&caller.client, &caller.customer, &caller.api_key) {
        (Some(client), ..) => once_owner(client),
        (None, Some(customer), _) => format!("customer {}", customer.as_str()),
        (None, None, Some(key)) => format!("api_key {key}"),
        (None, None, None) => format!("network {}", network(call.source.address)),
    }
}

impl Gateway {
    /// Marks a proof as used. `owner` is its sender, by [`once_owner`] or [`owner_of`]; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`DpopFault::Used`] for a replay, [`Refusal::ReplayShare`] where the owner has too many unexpired proofs,
    /// [`Refusal::StateUnavailable`] where the store is away.
    pub(super) async fn use_proof(&self, proof: &Proof, owner: &str, call: &Call<'_>, now: u64) -> Result<(), Refusal> {
        let id = replay::owned(proof.id, owner);
        let used = self.shared.state.use_once(id, proof.issued_at, proof.ends(skew(call)), now).await;
        match used.map_err(|_| Refusal::StateUnavailable)? {
            Use::First => Ok(()),
            Use::Again => Err(Refusal::Dpop(DpopFault::Used)),
            Use::ShareIsFull => Err(Refusal::ReplayShare),
        }
    }

    /// The binding (`cnf`) of a new token of this customer to the key of a proof, which is used up. `now` is in seconds
    /// since 1970.
    ///
    /// # Errors
    /// As [`Self::use_proof`].
    pub(crate) async fn customer_binding(
        &self,
        proof: Option<Proof>,
        customer: &Identifier,
        call: &Call<'_>,
        now: u64,
    ) -> Result<Option<Binding>, Refusal> {
        let Some(proof) = proof else { return Ok(None) };
        self.use_proof(&proof, &format!("customer {}", customer.as_str()), call, now).await?;
        Ok(Some(Binding::Key(proof.key)))
    }

    /// The binding (`cnf`) of a new access token of this client. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The client does not prove that it holds the key.
    pub(crate) async fn binding(&self, call: &Call<'_>, client: &Client, now: u64) -> Result<Option<Binding>, Refusal> {
        match (proof(call, now), client.certificate_bound) {
            (None, must) => {
                let shown = call.certificate(now).map_err(|_| Refusal::ClientCertificate)?;
                match shown.filter(|certificate| must || client.is_proved_by(certificate)) {
                    None if must => Err(Refusal::OtherCertificate),
                    certificate => Ok(certificate.map(|certificate| Binding::Certificate(certificate.thumbprint))),
                }
            }
            (Some(proof), false) => {
                let proof = proof.map_err(Refusal::Dpop)?;
                self.use_proof(&proof, &once_owner(&client.id), call, now).await?;
                Ok(Some(Binding::Key(proof.key)))
            }
            // A token is bound to one key.
            (Some(_), true) => Err(Refusal::Dpop(DpopFault::Unbound)),
        }
    }
}
