//! Verdict on a token that only its issuer can read, by what the issuer says.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::{CustomerToken, Inspected, Inspection};
use crate::auth::Authenticator;
use crate::auth::context::PendingLookup;
use crate::auth::jwt::Claims;
use crate::auth::jwt::jws::LONGEST_TOKEN;
use crate::auth::opaque_token::{ActiveToken, TokenAnswer, TokenQuestion};
use crate::auth::trusted_issuer::TrustedIssuer;
use crate::auth::verdict::Marks;
use crate::refusal::TokenFault;
use crate::secret::is_own_secret;
use crate::state::session::digest_of;

/// True for a token that is no JWS in compact form, and none of our own secrets: those are shown to nobody else.
pub(super) fn is_opaque(token: &str) -> bool {
    let mut parts = token.split('.');
    let first = parts.next().unwrap_or_default();
    let begins_object = || BASE64.decode(first).is_ok_and(|header| header.trim_ascii_start().starts_with(b"{"));
    !is_own_secret(token) && (parts.count() != 2 || !begins_object())
}

impl Authenticator {
    /// Verdict on a customer's token by what these issuers say of it.
    pub(super) fn opaque_token_of<'a>(
        &self,
        token: &str,
        issuers: impl Iterator<Item = &'a TrustedIssuer> + Clone,
        inspection: Inspection<'_>,
        ask: Option<&mut Option<PendingLookup>>,
    ) -> Result<Inspected, TokenFault> {
        let (issuer, active) = answered(token, issuers, &inspection, ask, PendingLookup::Token)?;
        self.active_token_of(token, issuer, &active, inspection)
    }

    /// Verdict on a system token by what these issuers say of it.
    pub(super) fn opaque_access_of<'a>(
        &self,
        token: &str,
        issuers: impl Iterator<Item = &'a TrustedIssuer> + Clone,
        inspection: Inspection<'_>,
        ask: Option<&mut Option<PendingLookup>>,
    ) -> Result<Inspected, TokenFault> {
        let (issuer, active) = answered(token, issuers, &inspection, ask, PendingLookup::ClientToken)?;
        let role = issuer.clients.as_deref().ok_or(TokenFault::Issuer)?;
        if !role.is_of_client(&active.claims) {
            return Err(TokenFault::Type);
        }
        let claims =
            role.verifier.verify_introspected(&active.claims, active.until, inspection.now, inspection.steps)?;
        let marks = marks_of(&claims, role.verifier.issuer(), token);
        self.system_access(issuer, &active.claims, (claims, marks), inspection)
    }

    /// Verdict on a token that this issuer says is good.
    fn active_token_of(
        &self,
        token: &str,
        issuer: &TrustedIssuer,
        active: &ActiveToken,
        inspection: Inspection<'_>,
    ) -> Result<Inspected, TokenFault> {
        let TrustedIssuer { verifier, .. } = issuer;
        // A client's token stands for no customer, whatever its subject is.
        if !issuer.customers || issuer.is_of_client(&active.claims) {
            return Err(TokenFault::Type);
        }
        let deriver = self.deriver.as_ref().ok_or(TokenFault::Issuer)?;
        let named = |subject: &str| deriver.derive(verifier.tenant(), subject).map_err(|_| TokenFault::Subject);
        let claims = match verifier.verify_introspected(&active.claims, active.until, inspection.now, inspection.steps)
        {
            Ok(claims) => claims,
            Err(fault) => {
                let subject = verifier.subject_in(&active.claims);
                inspection.known.customer = subject.and_then(|subject| named(&subject).ok());
                return Err(fault);
            }
        };
        let customer = named(&claims.subject)?;
        let marks = marks_of(&claims, verifier.issuer(), token);
        let (issuer, number) = (verifier.issuer(), issuer.number);
        self.of_customer(CustomerToken { customer, claims, marks, issuer, number, delegate: None }, inspection)
    }
}

/// The issuer that says a token is good, and what it says: the first in their order. One that is not known here must be
/// asked for: then `ask` has the question, where it was not asked before.
fn answered<'a>(
    token: &str,
    issuers: impl Iterator<Item = &'a TrustedIssuer> + Clone,
    inspection: &Inspection<'_>,
    ask: Option<&mut Option<PendingLookup>>,
    pending: fn(TokenQuestion) -> PendingLookup,
) -> Result<(&'a TrustedIssuer, Arc<ActiveToken>), TokenFault> {
    if token.len() > LONGEST_TOKEN {
        return Err(TokenFault::TooLong);
    }
    let digest = digest_of(token.as_bytes());
    let mut nobody_knows = false;
    for issuer in issuers.clone() {
        let Some(introspector) = &issuer.introspector else { continue };
        let told = inspection.told.and_then(|told| told.of(introspector, &digest));
        match told.or_else(|| introspector.known(&digest, inspection.now).map(Ok)) {
            Some(Ok(TokenAnswer::Active(active))) => return Ok((issuer, active)),
            Some(Ok(TokenAnswer::Inactive)) => {}
            Some(Err(_)) => nobody_knows = true,
            None => {
                if let Some(ask) = ask {
                    let all = issuers.filter_map(|issuer| issuer.introspector.as_ref().map(Arc::clone));
                    *ask = Some(pending(TokenQuestion::new(token, all.collect())));
                    return Err(TokenFault::Introspection);
                }
                nobody_knows = true;
            }
        }
    }
    Err(if nobody_knows { TokenFault::Introspection } else { TokenFault::Inactive })
}

fn marks_of(claims: &Claims, issuer: &str, token: &str) -> Marks {
    if is_opaque(token) { Marks::of_opaque(claims, issuer, token) } else { Marks::of(claims, issuer, false, token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_jws_is_opaque_but_for_our_own_secrets() {
        for opaque in
            ["x", "2YotnFZFEjr1zCsicMWpAA", "ya29.a0AfH6SM", "a.b.c", "one.two.three.four.five", "~._-+/=", "MQ.x.y"]
        {
            assert!(is_opaque(opaque), "{opaque}");
        }
        let jws = format!("{}.e30.AAAA", BASE64.encode(r#"{"alg":"RS256"}"#));
        let spaced = format!("{}.e30.", BASE64.encode(" {\n"));
        for other in [
            &*jws,
            &spaced,
            "e30.x.y",
            "wgr_abc",
            "wgs_abc",
            "wgk_abc",
            "wgc_abc",
            "wgf_a",
            "wgp_a",
            "wgb_a",
            "v1.a.b.c.d",
        ] {
            assert!(!is_opaque(other), "{other}");
        }
    }
}
