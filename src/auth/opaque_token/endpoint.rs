//! The introspection endpoint of an issuer (RFC 7662), and how this gateway authenticates there.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

use crate::auth::jwt::jws::{LONGEST_TOKEN, Members};
use crate::auth::jwt::signing_keys::SigningKeys;
use crate::fetch::Fetcher;
use crate::hex::hex;
use crate::parameters::form_encoded;
use crate::secret::{Secret, random_bytes};

/// The word for an endpoint that does not let this gateway in.
pub(super) const UNAUTHORIZED: &str = "unauthorized";

/// Lifetime of an assertion, in seconds.
const ASSERTION: u64 = 60;

/// An introspection endpoint.
#[derive(Debug)]
pub struct IntrospectionEndpoint {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Its address.
    pub url: String,
    /// The proof that it is this gateway which asks.
    pub proof: EndpointProof,
    /// The HTTP client.
    pub fetcher: Fetcher,
}

/// How this gateway authenticates at an endpoint.
#[derive(Debug)]
pub enum EndpointProof {
    /// By this value of `Authorization` (RFC 6749 section 2.3.1).
    Basic(HeaderValue),
    /// By these parameters of the form, encoded.
    Form(Secret),
    /// By an assertion that it signs (RFC 7523 section 2.2).
    Assertion {
        /// Its id there.
        client_id: String,
        /// `aud` of the assertions.
        audience: String,
        /// Its key.
        keys: Arc<SigningKeys>,
    },
}

impl EndpointProof {
    /// A form together with the proof, and `Authorization` where that is the proof. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The word and a sentence: the key signs nothing.
    pub fn shown_with(&self, form: Secret, now: u64) -> Result<(Bytes, Option<HeaderValue>), (&'static str, String)> {
        let (form, authorization) = match self {
            Self::Basic(field) => (form, Some(field.clone())),
            Self::Form(more) => (joined(&form, more), None),
            Self::Assertion { client_id, audience, keys } => {
                (joined(&form, &assertion(client_id, audience, keys, now)?), None)
            }
        };
        Ok((Bytes::copy_from_slice(form.expose()), authorization))
    }
}

impl IntrospectionEndpoint {
    /// Asks about a token: its claims and the size of the answer in bytes where it is good, `None` where it is not, or the
    /// word for the outcome and a sentence. `now` is in seconds since 1970.
    pub(super) async fn ask(&self, token: &str, now: u64) -> Result<Option<(Members, usize)>, (&'static str, String)> {
        let form = Secret::new(format!("token={}&token_type_hint=access_token", form_encoded(token)));
        let (form, authorization) = self.proof.shown_with(form, now)?;
        let answer = self.fetcher.post_form(&self.url, form, authorization).await;
        let answer = answer.map_err(|fault| (fault.as_str(), format!("{}: {fault}", self.url)))?;
        if answer.status != 200 {
            let word = if matches!(answer.status, 401 | 403) { UNAUTHORIZED } else { "status" };
            return Err((word, format!("{}: the server answered {}", self.url, answer.status)));
        }
        read(&answer.body).map_err(|(word, message)| (word, format!("{}: {message}", self.url)))
    }
}

fn joined(form: &Secret, more: &Secret) -> Secret {
    Secret::new([form.expose(), b"&", more.expose()].concat())
}

/// The parameters of an assertion (RFC 7521 section 4.2).
fn assertion(client_id: &str, audience: &str, keys: &SigningKeys, now: u64) -> Result<Secret, (&'static str, String)> {
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience, "jti": hex(&random_bytes::<16>()), "iat": now,
        "exp": now.saturating_add(ASSERTION),
    });
    let signed = keys.sign("JWT", &claims, now).map_err(|fault| ("assertion", fault.to_string()))?;
    let kind = form_encoded("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let id = form_encoded(client_id);
    Ok(Secret::new(format!("client_id={id}&client_assertion_type={kind}&client_assertion={signed}")))
}

/// An answer (RFC 7662 section 2.2). Nothing but `true` says that a token is good, and nothing but `false` that it is not.
fn read(body: &[u8]) -> Result<Option<(Members, usize)>, (&'static str, String)> {
    let broken = |what: &str| ("json", format!("the answer is none of an introspection endpoint: {what}"));
    let members = Members::parse(body).ok_or_else(|| broken("it is no JSON object without repeated members"))?;
    match members.get("active") {
        Some(Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) if body.len() > LONGEST_TOKEN => {
            Err(("too_large", format!("the answer has more than {LONGEST_TOKEN} bytes")))
        }
        Some(Value::Bool(true)) => Ok(Some((members, body.len()))),
        _ => Err(broken("`active` is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_says_that_a_token_is_good() {
        assert!(matches!(read(br#"{"active":true,"sub":"ann"}"#), Ok(Some((_, 27)))));
        assert!(matches!(read(br#"{"active":false,"sub":"ann"}"#), Ok(None)));
        for broken in [
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"sub":"ann"}"#,
            r#"[{"active":true}]"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"sub":"ann","sub":"bob"}"#,
            "true",
            "",
        ] {
            assert!(matches!(read(broken.as_bytes()), Err(("json", _))), "{broken}");
        }
        let long = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(LONGEST_TOKEN));
        assert!(matches!(read(long.as_bytes()), Err(("too_large", _))));
    }
}
