//! Subject identifiers of security events (RFC 9493, OpenID Shared Signals Framework section 3): who and what is meant.

use serde_json::Value;

use crate::auth::jwt::security_event::readable;

/// The customer and the session that an identifier names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamedSubject {
    /// The customer, by the issuer's `sub`.
    pub(super) customer: Option<String>,
    /// The session, by its `sid`.
    pub(super) session: Option<String>,
    /// Both are the same text, which names one of the two.
    pub(super) is_either: bool,
}

impl NamedSubject {
    /// A customer and all sessions.
    pub(super) fn of_customer(subject: &str) -> Self {
        Self { customer: Some(subject.to_owned()), ..Self::default() }
    }

    /// Reads an identifier by this issuer: `iss_sub`, `opaque`, or a complex one with `user` and `session`. `None`: it names
    /// nobody here, as an e-mail address.
    pub(super) fn read(identifier: &Value, issuer: &str) -> Option<Self> {
        let text = |name: &str| identifier.get(name).and_then(Value::as_str);
        // Drafts, and RISC as Google sends it, have `subject_type` and a hyphen.
        let format = text("format").or_else(|| text("subject_type")).map(|format| format.replace('-', "_"));
        match format.as_deref() {
            Some("iss_sub") => text("sub").filter(|_| text("iss") == Some(issuer)).map(Self::of_customer),
            Some("opaque") => {
                let id = text("id")?;
                Some(Self { customer: Some(id.to_owned()), session: readable(id), is_either: true })
            }
            None | Some("complex") => {
                let part = |name: &str| identifier.get(name).and_then(|part| Self::read_simple(part, issuer));
                let customer = part("user").and_then(|user| user.customer);
                let session = part("session").and_then(|session| session.session);
                (customer.is_some() || session.is_some()).then_some(Self { customer, session, is_either: false })
            }
            Some(_) => None,
        }
    }

    fn read_simple(identifier: &Value, issuer: &str) -> Option<Self> {
        let is_complex = identifier.get("user").is_some() || identifier.get("session").is_some();
        if is_complex { None } else { Self::read(identifier, issuer) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://login.example.com";

    fn read(identifier: Value) -> Option<(Option<String>, Option<String>)> {
        NamedSubject::read(&identifier, ISSUER).map(|named| (named.customer, named.session))
    }

    #[test]
    fn an_identifier_names_a_customer_a_session_or_nobody() {
        let (ann, one) = (Some("ann".to_owned()), Some("s1".to_owned()));
        let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "ann"});
        let session = json!({"format": "opaque", "id": "s1"});
        assert_eq!(read(user.clone()), Some((ann.clone(), None)));
        assert_eq!(read(json!({"subject_type": "iss-sub", "iss": ISSUER, "sub": "ann"})), Some((ann.clone(), None)));
        assert_eq!(read(session.clone()), Some((one.clone(), one.clone())));
        assert_eq!(
            read(json!({"format": "complex", "user": user, "session": session})),
            Some((ann.clone(), one.clone()))
        );
        assert_eq!(read(json!({"user": user})), Some((ann, None)));
        assert_eq!(read(json!({"session": session, "tenant": {"format": "opaque", "id": "t"}})), Some((None, one)));
        for nobody in [
            json!({"format": "iss_sub", "iss": "https://other.example.com", "sub": "ann"}),
            json!({"format": "email", "email": "ann@example.com"}),
            json!({"format": "complex", "device": session}),
            json!({"user": {"user": user}}),
            json!({"format": "opaque"}),
            json!({}),
            json!("ann"),
            json!(null),
        ] {
            assert_eq!(read(nobody.clone()), None, "{nobody}");
        }
    }
}
