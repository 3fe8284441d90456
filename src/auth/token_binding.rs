//! Proof that the sender of a bound token holds its key: the certificate of the connection, or a DPoP proof.

use http::HeaderValue;

use super::context::AuthContext;
use super::credentials::with_proof;
use super::jwt::confirmation::Binding;
use super::requirements::{DpopRequirement, Requirements};
use super::verdict::Access;
use crate::refusal::{DpopFault, Refusal, TokenFault};

/// Checks that the sender of an access token holds the key that it is bound to.
pub(super) fn is_held(
    access: &Access,
    authorization: Option<&HeaderValue>,
    requirements: &Requirements,
    context: &AuthContext<'_>,
) -> Result<(), Refusal> {
    let refused = |fault| Err(Refusal::Dpop(fault));
    let with_proof = authorization.and_then(with_proof);
    match (access.binding, with_proof) {
        (None, None) if requirements.proof != DpopRequirement::Required => Ok(()),
        (Some(Binding::Certificate(thumbprint)), None) if requirements.proof != DpopRequirement::Required => {
            let has_it = context.certificate.is_some_and(|certificate| certificate.thumbprint == thumbprint);
            if has_it { Ok(()) } else { Err(Refusal::TokenCertificate) }
        }
        // RFC 9449 section 7.1: the scheme says that the token is bound.
        (None | Some(Binding::Certificate(_)), _) => refused(DpopFault::Unbound),
        (Some(Binding::Key(_)), None) => refused(DpopFault::Scheme),
        (Some(Binding::Key(key)), Some(token)) => match context.proof {
            None => refused(DpopFault::Missing),
            Some(Err(fault)) => refused(*fault),
            Some(Ok(proof)) if proof.key != key => refused(DpopFault::Key),
            Some(Ok(proof)) if !proof.is_with(token) => refused(DpopFault::Token),
            Some(Ok(_)) => Ok(()),
        },
    }
}

/// Checks that the sender of a customer's token holds the key that it is bound to. With the scheme `DPoP` it must be
/// bound to one (RFC 9449 section 7.1).
pub(super) fn is_held_by_customer(
    binding: Option<Binding>,
    token: &[u8],
    context: &AuthContext<'_>,
) -> Result<(), TokenFault> {
    let is_held = match binding {
        None => false,
        Some(Binding::Certificate(thumbprint)) => {
            context.certificate.is_some_and(|certificate| certificate.thumbprint == thumbprint)
        }
        Some(Binding::Key(key)) => {
            matches!(context.proof, Some(Ok(proof)) if proof.key == key && proof.is_with(token))
        }
    };
    if is_held { Ok(()) } else { Err(TokenFault::Binding) }
}
