//! The claim `cnf` (RFC 7800 section 3.1): the key that a token is bound to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use crate::auth::tls::certificate::Thumbprint;

/// A key without which a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The key of the client certificate with this thumbprint (RFC 8705 section 3.1).
    Certificate(Thumbprint),
    /// The key of the DPoP proof with this thumbprint (RFC 9449 section 6.1).
    Key(Thumbprint),
}

impl Binding {
    /// Reads `cnf`; `None` unless it names exactly one key by a method known here: a token whose binding cannot be
    /// checked is refused.
    pub(super) fn read(confirmation: &Value) -> Option<Self> {
        let members = confirmation.as_object().filter(|members| members.len() == 1)?;
        let (name, value) = members.iter().next()?;
        let thumbprint = Thumbprint::try_from(BASE64.decode(value.as_str()?).ok()?).ok()?;
        match name.as_str() {
            "x5t#S256" => Some(Self::Certificate(thumbprint)),
            "jkt" => Some(Self::Key(thumbprint)),
            _ => None,
        }
    }

    /// The value of `cnf`.
    pub fn confirmation(&self) -> Value {
        match self {
            Self::Certificate(thumbprint) => json!({ "x5t#S256": BASE64.encode(thumbprint) }),
            Self::Key(thumbprint) => json!({ "jkt": BASE64.encode(thumbprint) }),
        }
    }

    /// The `token_type` of such a token (RFC 9449 section 5).
    pub fn token_type(binding: Option<&Self>) -> &'static str {
        match binding {
            Some(Self::Key(_)) => "DPoP",
            Some(Self::Certificate(_)) | None => "Bearer",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for binding in [Binding::Certificate([7; 32]), Binding::Key([8; 32])] {
            assert_eq!(Binding::read(&binding.confirmation()), Some(binding));
        }
    }

    #[test]
    fn a_binding_that_cannot_be_checked_is_none() {
        let good = BASE64.encode([7; 32]);
        for confirmation in [
            json!({}),
            json!(good),
            json!({ "jwk": { "kty": "EC" } }),
            json!({ "jkt": good, "x5t#S256": good }),
            json!({ "jkt": BASE64.encode([7; 31]) }),
            json!({ "jkt": format!("{good}=") }),
            json!({ "jkt": 7 }),
        ] {
            assert_eq!(Binding::read(&confirmation), None, "{confirmation}");
        }
    }
}
