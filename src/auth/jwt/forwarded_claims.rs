//! Claims of verified tokens that backends may be told in header fields.

use std::sync::Arc;

use serde_json::Value;

use super::claims::ClaimPath;
use super::jws::Members;
use crate::log_throttle::LogThrottle;

/// The longest value, in bytes.
const LONGEST: usize = 1_024;

/// Claims that an issuer's entry lists.
#[derive(Debug, Clone)]
pub(super) struct ForwardableClaims {
    issuer: String,
    /// The names as they are listed.
    claims: Vec<(Box<str>, ClaimPath)>,
    log: Arc<LogThrottle>,
}

/// Values of the listed claims, each of which can stand in a header field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardedClaims(Vec<(Box<str>, Box<str>)>);

impl ForwardedClaims {
    /// The value of the claim that is listed by this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

impl ForwardableClaims {
    /// Those of these names; `None` without any.
    pub(super) fn of(issuer: &str, names: &[String]) -> Option<Self> {
        let claims: Vec<_> = names.iter().map(|name| (name.as_str().into(), ClaimPath::parse(name))).collect();
        (!claims.is_empty()).then(|| Self { issuer: issuer.to_owned(), claims, log: Arc::default() })
    }

    /// Their values in a verified token.
    pub(super) fn read(&self, claims: &Members) -> Arc<ForwardedClaims> {
        let found = self.claims.iter().filter_map(|(name, path)| Some((name, path.find(claims)?)));
        let values = found.filter_map(|(name, value)| match field_value(value) {
            Ok(value) => Some((name.clone(), value?.into())),
            Err(fault) => {
                if let Some(left_out) = self.log.allow() {
                    tracing::warn!(issuer = self.issuer, claim = %name, left_out, "not forwarding a claim: {fault}");
                }
                None
            }
        });
        Arc::new(ForwardedClaims(values.collect()))
    }
}

/// Texts as they are, all else as JSON; `None` for nothing.
fn field_value(value: &Value) -> Result<Option<String>, &'static str> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > LONGEST {
        return Err("it has more than 1024 bytes");
    }
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) || text.trim_matches(' ') != text {
        return Err("it has other characters than visible ASCII ones, or a space at an end");
    }
    Ok(Some(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_listed_claims_are_kept_and_only_those_that_a_field_can_carry() {
        let claims = json!({
            "tier": "gold plus", "level": 3, "verified": true, "roles": ["a", "b"], "nothing": null, "empty": "",
            "evil": "x\r\nX-Admin: 1", "name": "J\u{fc}rg", "padded": " x", "long": "x".repeat(LONGEST + 1),
            "nul": "a\u{0}b", "deep": {"a": {"b": 1}}, "secret": "not listed",
        });
        let listed = [
            "tier",
            "level",
            "verified",
            "roles",
            "nothing",
            "empty",
            "evil",
            "name",
            "padded",
            "long",
            "nul",
            "missing",
            "/deep/a/b",
        ];
        let claims = Members::parse(claims.to_string().as_bytes()).unwrap();
        let found = ForwardableClaims::of("i", &listed.map(str::to_owned)).unwrap().read(&claims);
        for (name, value) in
            [("tier", "gold plus"), ("level", "3"), ("verified", "true"), ("roles", r#"["a","b"]"#), ("/deep/a/b", "1")]
        {
            assert_eq!(found.value(name), Some(value), "{name}");
        }
        for name in ["nothing", "empty", "evil", "name", "padded", "long", "nul", "missing", "secret", "deep"] {
            assert_eq!(found.value(name), None, "{name}");
        }
        assert!(ForwardableClaims::of("i", &[]).is_none());
    }
}
