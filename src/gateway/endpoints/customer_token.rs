//! The JWT that a customer gets with a login, and again with each refresh.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::auth::jwt;
use crate::customer::Identifier;
use crate::gateway::request::call::Call;
use crate::gateway::token_id::token_id;
use crate::refusal::Refusal;
use crate::state::revocation::Issued;
use crate::state::session::{LoginId, SessionDigest};

/// Claims of an account that go into its JWT.
pub(super) type Claims = BTreeMap<String, Value>;

/// A customer's JWT of this login, and of its family of refresh tokens where there is one.
pub(crate) fn sign_customer(
    call: &Call<'_>,
    customer: &Identifier,
    claims: Claims,
    Issued { at: now, number }: Issued,
    lifetime: u64,
    login: LoginId,
    family: Option<&SessionDigest>,
) -> Result<String, Refusal> {
    let issuer = call.policy.issuer.as_ref().ok_or(Refusal::Internal)?;
    let mut claims = claims;
    let ours = json!({
        "iss": issuer.url, "aud": *call.audience(issuer), "sub": customer.as_str(),
        "iat": now, "nbf": now, "exp": now.saturating_add(lifetime), "jti": token_id(), "sid": login.to_string(),
    });
    if let Value::Object(ours) = ours {
        claims.extend(ours);
    }
    claims.remove(jwt::RULES);
    if let Some(number) = number {
        claims.insert(jwt::RULES.to_owned(), number.into());
    }
    if let Some(family) = family {
        claims.insert(jwt::FAMILY.to_owned(), jwt::family_claim(family).into());
    }
    issuer.keys.sign("JWT", &claims, now).map_err(|_| Refusal::Internal)
}
