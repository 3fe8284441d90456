//! The JWT that a customer gets with a login, and again with each refresh.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::auth::jwt;
use crate::auth::jwt::confirmation::Binding;
use crate::customer::Identifier;
use crate::gateway::request::call::Call;
use crate::gateway::token_id::token_id;
use crate::refusal::Refusal;
use crate::state::revocation::Issued;
use crate::state::session::{LoginId, SessionDigest};

/// Claims of an account that go into its JWT.
pub(super) type CustomerClaims = BTreeMap<String, Value>;

/// The contents of a customer's JWT.
pub(super) struct CustomerJwt<'a> {
    /// Its subject.
    pub(super) customer: &'a Identifier,
    /// Further claims, of the customer's account.
    pub(super) claims: CustomerClaims,
    /// Time of issue, and the revocation rules known by then.
    pub(super) issued: Issued,
    /// Seconds until it expires.
    pub(super) lifetime: u64,
    /// The login that it is part of.
    pub(super) login: LoginId,
    /// The family of refresh tokens of this login, where there is one.
    pub(super) family: Option<&'a SessionDigest>,
    /// The key that it is bound to, if any.
    pub(super) binding: Option<Binding>,
}

impl CustomerJwt<'_> {
    /// The signed JWT, for the audience of the listener.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where there is no key to sign with.
    pub(super) fn sign(self, call: &Call<'_>) -> Result<String, Refusal> {
        let issuer = call.policy.issuer.as_ref().ok_or(Refusal::Internal)?;
        let Issued { at: now, number } = self.issued;
        let mut claims = self.claims;
        let ours = json!({
            "iss": issuer.url, "aud": *call.audience(issuer), "sub": self.customer.as_str(),
            "iat": now, "nbf": now, "exp": now.saturating_add(self.lifetime), "jti": token_id(),
            "sid": self.login.to_string(),
        });
        if let Value::Object(ours) = ours {
            claims.extend(ours);
        }
        claims.remove(jwt::RULES);
        if let Some(number) = number {
            claims.insert(jwt::RULES.to_owned(), number.into());
        }
        // No claim of an account stands for a key.
        claims.remove("cnf");
        if let Some(binding) = self.binding {
            claims.insert("cnf".to_owned(), binding.confirmation());
        }
        if let Some(family) = self.family {
            claims.insert(jwt::FAMILY.to_owned(), jwt::family_claim(family).into());
        }
        issuer.keys.sign("JWT", &claims, now).map_err(|_| Refusal::Internal)
    }
}
