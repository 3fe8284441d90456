//! ID tokens of the provider at which customers log in (OpenID Connect Core 1.0 section 3.1.3.7).

use serde_json::Value;

use super::Authenticator;
use super::jwt::{Compact, verified_patiently};
use super::requirements::IssuerNumber;
use super::trusted_issuer::TrustedIssuer;
use crate::customer::Identifier;
use crate::refusal::TokenFault;

/// What the ID token of a login must say.
#[derive(Debug, Clone, Copy)]
pub struct IdTokenTerms<'a> {
    /// The provider.
    pub issuer: IssuerNumber,
    /// `iss` of the response that brought the code, where it had one.
    pub named: Option<&'a str>,
    /// The id of this gateway there.
    pub client_id: &'a str,
    /// The nonce of the login.
    pub nonce: &'a str,
}

impl Authenticator {
    /// Returns whether the trusted issuer of this number writes this `iss`.
    pub fn is_of_issuer(&self, iss: &str, number: IssuerNumber) -> bool {
        self.numbered(iss, number).is_some()
    }

    /// The customer of an ID token: the one whom other tokens of its issuer name. Waits up to a second for keys that are
    /// being fetched. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong. [`TokenFault::Used`]: it is of another login. [`TokenFault::Claim`]: of
    /// somebody who is no customer of this gateway. [`TokenFault::NoKeys`]: nobody knows.
    pub async fn customer_of_id_token(
        &self,
        token: &str,
        terms: IdTokenTerms<'_>,
        now: u64,
    ) -> Result<Identifier, TokenFault> {
        let compact = Compact::parse(token)?;
        let iss = compact.issuer().filter(|iss| terms.named.is_none_or(|named| named == *iss));
        let issuer = iss.and_then(|iss| self.numbered(iss, terms.issuer)).ok_or(TokenFault::Issuer)?;
        let verifier = issuer.verifier.clone().of_id_tokens(terms.client_id);
        let claims = verified_patiently(verifier.published(), || verifier.verify(&compact, now)).await?;
        if claims.issued_at.is_none() {
            return Err(TokenFault::Malformed);
        }
        let members = compact.claims();
        let is_for_several = members.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        match members.text("azp")? {
            Some(party) if party == terms.client_id => {}
            None if !is_for_several => {}
            _ => return Err(TokenFault::Audience),
        }
        if members.text("nonce")? != Some(terms.nonce) {
            return Err(TokenFault::Used);
        }
        if issuer.is_of_client(members) {
            return Err(TokenFault::Claim);
        }
        let deriver = self.deriver.as_ref().ok_or(TokenFault::Issuer)?;
        deriver.derive(issuer.verifier.tenant(), &claims.subject).map_err(|_| TokenFault::Subject)
    }

    fn numbered(&self, iss: &str, number: IssuerNumber) -> Option<&TrustedIssuer> {
        self.trusted.find(iss).filter(|issuer| issuer.number == number && issuer.customers)
    }
}
