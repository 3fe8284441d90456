//! The challenges of a refusal: `WWW-Authenticate`.

use http::HeaderMap;
use http::header::{self, HeaderValue};

use super::{Detail, Refused};
use crate::auth::DpopRequirement;
use crate::refusal::{DpopFault, Refusal, TokenFault};

/// The challenges for an invalid DPoP proof, and for a token that does not match its scheme (RFC 9449 section 7.1).
const INVALID_PROOF: &str = r#"DPoP error="invalid_dpop_proof", algs="ES256 ES384 EdDSA PS256 RS256""#;
const INVALID_TOKEN: &str = r#"DPoP error="invalid_token", algs="ES256 ES384 EdDSA PS256 RS256""#;

/// The algorithms of proofs.
const ALGORITHMS: &str = r#"algs="ES256 ES384 EdDSA PS256 RS256""#;

/// Says `DPoP` in place of `Bearer` where a proof is required, and beside it where a token may be bound (RFC 9449
/// section 7.1).
pub(in crate::gateway) fn ask_for_proof(headers: &mut HeaderMap, proof: DpopRequirement) {
    if proof == DpopRequirement::None {
        return;
    }
    let told: Vec<HeaderValue> = headers.get_all(header::WWW_AUTHENTICATE).iter().cloned().collect();
    headers.remove(header::WWW_AUTHENTICATE);
    for value in told {
        let of_bearer = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer"));
        let comma = if of_bearer.is_some_and(|rest| rest.contains('=')) { "," } else { "" };
        let bound = of_bearer.and_then(|rest| HeaderValue::try_from(format!("DPoP{rest}{comma} {ALGORITHMS}")).ok());
        if bound.is_none() || proof == DpopRequirement::Optional {
            headers.append(header::WWW_AUTHENTICATE, value);
        }
        if let Some(bound) = bound {
            headers.append(header::WWW_AUTHENTICATE, bound);
        }
    }
}

/// Writes the challenges of a 401, and of a 403 for want of a scope: one line for each.
pub(super) fn write(headers: &mut HeaderMap, refused: &Refused) {
    let Some(Detail::Challenges { bearer, by_secret, others }) = refused.detail.as_deref() else {
        headers.insert(header::WWW_AUTHENTICATE, challenge(refused));
        return;
    };
    if *bearer {
        let is_of_token = !by_secret && matches!(refused.refusal, Refusal::ClientToken(_));
        let value = if is_of_token { challenge(refused) } else { HeaderValue::from_static("Bearer") };
        headers.append(header::WWW_AUTHENTICATE, value);
    }
    for other in &**others {
        headers.append(header::WWW_AUTHENTICATE, other.clone());
    }
}

/// The challenge of a 401, and of a 403 for want of a scope (RFC 6750 section 3.1). Only refusals of the client's token
/// say `Bearer`: OAuth clients renew theirs on that word.
fn challenge(refused: &Refused) -> HeaderValue {
    if let Some(Detail::Scopes(scopes)) = refused.detail.as_deref()
        && let Ok(value) = HeaderValue::from_str(&format!(r#"Bearer error="insufficient_scope", scope="{scopes}""#))
    {
        return value;
    }
    HeaderValue::from_static(match refused.refusal {
        Refusal::NoCredential | Refusal::ClientToken(TokenFault::Missing) => "Bearer",
        Refusal::ClientToken(_) | Refusal::TokenCertificate => r#"Bearer error="invalid_token""#,
        Refusal::Dpop(DpopFault::Scheme | DpopFault::Unbound) => INVALID_TOKEN,
        Refusal::Dpop(_) => INVALID_PROOF,
        Refusal::Scope => r#"Bearer error="insufficient_scope""#,
        Refusal::CustomerToken(TokenFault::Missing) => r#"JWT realm="customer""#,
        Refusal::CustomerToken(_) | Refusal::Session(_) => r#"JWT realm="customer", error="invalid_token""#,
        _ => r#"JWT realm="login""#,
    })
}
