//! What a verifier wants of a token and what it saw, for explanations. Values of claims that can name a person are told
//! by type and length only.

use serde_json::Value;

use super::{OTHER_KINDS, Verifier, time};
use crate::auth::jwt::claims::{ClaimRule, ExpectedClaim};
use crate::auth::jwt::jws::Members;
use crate::explanation::trace::{StepDetail, StepSink, pointer_step, shown, span};

impl Verifier {
    /// Its place in gateway.yaml.
    fn place(&self) -> String {
        if self.reads_client {
            "/issuer".to_owned()
        } else {
            format!("/trusted_issuers/{}", pointer_step(&self.issuer))
        }
    }

    /// A key of it there; the place itself where this gateway's own issuer has no such key.
    fn key(&self, key: &str) -> String {
        if self.reads_client && !matches!(key, "audience" | "clock_skew") {
            return self.place();
        }
        format!("{}/{key}", self.place())
    }

    pub(super) fn explain_type(&self, kind: Option<&str>) -> StepDetail {
        let name = |name: &Option<String>| name.as_deref().unwrap_or("none").to_owned();
        let wanted: Vec<String> = self.types.iter().map(name).collect();
        let saw = kind.map_or_else(|| "no typ".to_owned(), shown);
        StepDetail::new(format!("typ {}", wanted.join(" or ")), saw).at(self.key("types"))
    }

    pub(super) fn explain_kind(&self, claims: &Members) -> StepDetail {
        let kind = claims.get("typ").and_then(Value::as_str);
        let wanted = format!("no claim `events`, and no claim typ of {}", OTHER_KINDS.join(", "));
        let saw = kind.map_or_else(|| "`events` is there".to_owned(), |kind| format!("typ {}", shown(kind)));
        StepDetail::new(wanted, saw).at(self.place())
    }

    pub(super) fn explain_issuer(&self, issuer: Option<&str>) -> StepDetail {
        let saw = issuer.map_or_else(|| "none".to_owned(), shown);
        StepDetail::new(format!("iss {}", self.issuer), saw).at(self.key("issuer"))
    }

    pub(super) fn explain_audience(&self, audience: Option<&Value>) -> StepDetail {
        let wanted = match &self.audiences {
            Some(audiences) if self.sole_audience => format!("aud {} and nothing else", audiences.join(" or ")),
            Some(audiences) => format!("aud {}", audiences.join(" or ")),
            None => "no aud".to_owned(),
        };
        let saw = match audience {
            Some(Value::String(text)) => shown(text),
            Some(Value::Array(list)) => {
                list.iter().take(5).filter_map(Value::as_str).map(shown).collect::<Vec<_>>().join(", ")
            }
            Some(other) => kind_of(other),
            None => "none".to_owned(),
        };
        let key = if self.reads_client { "audience" } else { "audiences" };
        StepDetail::new(wanted, saw).at(self.key(key))
    }

    pub(super) fn explain_times(&self, claims: &Members, now: u64) -> StepDetail {
        let mut wanted =
            format!("exp in the future, iat and nbf in the past; {} of clock skew are allowed", span(self.skew));
        if let Some(longest) = self.longest_life {
            wanted.push_str(&format!("; at most {} from iat to exp", span(longest)));
        }
        let told = |name: &str| match time(claims, name) {
            Ok(Some(at)) if at > now => format!("{name} in {}", span(at - now)),
            Ok(Some(at)) => format!("{name} {} ago", span(now - at)),
            Ok(None) => format!("no {name}"),
            Err(_) => format!("{name} is no time"),
        };
        let saw = ["exp", "iat", "nbf"].map(told).join(", ");
        let key = if self.longest_life.is_some() { "max_lifetime" } else { "clock_skew" };
        StepDetail::new(wanted, saw).at(self.key(key))
    }

    pub(super) fn explain_rules(&self, claims: &Members, steps: StepSink<'_>) {
        for rule in &self.rules {
            let name = rule.claim.written();
            steps.note(&format!("claims.{name}"), rule.holds(claims), || {
                let saw = rule.claim.find(claims).map_or_else(|| "not there".to_owned(), kind_of);
                let key = format!("claims/{}", pointer_step(&name));
                StepDetail::new(wanted_by(rule), saw).at(self.key(&key))
            });
        }
    }

    pub(super) fn explain_subject(&self, claims: &Members) -> StepDetail {
        let name = self.subject.written();
        let saw = self.subject.find(claims).map_or_else(|| "not there".to_owned(), kind_of);
        let wanted = format!("{name}: a text or a whole number, of 1 to {} bytes", self.longest_subject);
        StepDetail::new(wanted, saw).at(self.key("subject"))
    }
}

fn wanted_by(rule: &ClaimRule) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match &rule.expected {
        ExpectedClaim::OneOf(values) => values.iter().map(text).collect::<Vec<_>>().join(" or "),
        ExpectedClaim::Contains(value) => format!("{} in it", text(value)),
        ExpectedClaim::Present => "to be there".to_owned(),
        ExpectedClaim::Absent => "not to be there".to_owned(),
    }
}

/// A value by its type and length.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(members) => format!("an object of {} members", members.len()),
    }
}
