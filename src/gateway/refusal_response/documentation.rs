//! docs/refusals.md, written from the closed set of refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::endpoints::{security_events, token};
use crate::gateway::error::row;
use crate::refusal::{DpopFault, Refusal, TokenFault};

const BEGIN: &str = "# Refusals

Each word by which wicketgate refuses a request, with its cause, what to do about it, and an example. The same word stands in
the access log (`refusal`), in the metric `wicketgate_requests_total`, in `wicketgate explain` and here; callers learn only the
code and the request id. How refusals are answered is in [operations.md](operations.md#refusals).

This page is written by the program's own tests from `src/refusal/`; changes belong there. `UPDATE_DOCS=1 cargo nextest run
--locked --lib -E 'test(/^gateway::refusal_response::documentation::/)'` writes it again.

## By code

| code | status | message to the caller | words |
|---|---|---|---|
";

/// The page.
fn page() -> String {
    let mut page = BEGIN.to_owned();
    let mut codes: BTreeMap<&str, (BTreeSet<String>, Vec<String>)> = BTreeMap::new();
    for &refusal in Refusal::ALL {
        let (messages, words) = codes.entry(row(refusal).code).or_default();
        messages.insert(row(refusal).message.into_owned());
        words.push(format!("[`{0}`](#{0})", refusal.as_str()));
    }
    for (code, (messages, words)) in codes {
        let messages: Vec<String> = messages.into_iter().collect();
        let (status, _) = code.split_once('-').unwrap_or_default();
        let _ = writeln!(page, "| {code} | {status} | {} | {} |", messages.join("<br>"), words.join(", "));
    }
    page.push_str("\n## By word\n");
    for &refusal in Refusal::ALL {
        let row = row(refusal);
        let _ = write!(page, "\n### {}\n\n", refusal.as_str());
        let _ = writeln!(page, "- **Caller sees:** {}, code {}, \"{}\"", row.status.as_u16(), row.code, row.message);
        if let Some(elsewhere) = elsewhere(refusal) {
            let _ = writeln!(page, "- **{elsewhere}");
        }
        let _ = writeln!(page, "- **Cause:** {}", refusal.cause());
        let _ = writeln!(page, "- **Fix:** {}", refusal.fix());
        let _ = writeln!(page, "- **Example:** {}", refusal.example());
    }
    page
}

/// What the endpoints say that have their own form of errors, for refusals that occur there.
fn elsewhere(refusal: Refusal) -> Option<String> {
    use Refusal as R;
    if let R::SecurityEvent(_) = refusal {
        let (_, error) = token::status_and_error(&refusal.into());
        let event = security_events::error_word(refusal);
        let or = if event == error { String::new() } else { format!(", for security events `err` `{event}`") };
        return Some(format!("Body:** `error` `{error}`{or}"));
    }
    let is_there = matches!(
        refusal,
        R::OtherCertificate
            | R::ClientCertificate
            | R::Dpop(_)
            | R::ContentType
            | R::ParameterMissing
            | R::ParameterRepeated
            | R::ParameterNotSupported
            | R::SecretInQuery
            | R::GrantType
            | R::UnknownClient
            | R::WrongClientSecret
            | R::ClientAssertion(_)
            | R::ClientAuthentication
            | R::ClientAuthenticationMissing
            | R::ClientAuthenticationMalformed
            | R::UnauthorizedClient
            | R::ScopeNotAllowed
            | R::ResourceNotAllowed
            | R::TokenRate
            | R::TokenLocked
            | R::ReplayShare
            | R::RefreshToken
            | R::RefreshTokenReused
            | R::AuthorizationCode
            | R::AuthorizationCodeReused
            | R::CodeVerifier
    );
    let is_handed_in = matches!(refusal, R::CustomerToken(fault) if fault != TokenFault::Missing);
    let (status, error) = token::status_and_error(&refusal.into());
    let status = status.as_u16();
    match refusal {
        _ if is_there => Some(format!("OAuth endpoints:** {status}, `error` `{error}`")),
        _ if is_handed_in => {
            let or = if error == "invalid_request" { " (as `assertion`: `invalid_grant`)" } else { "" };
            Some(format!("Handed in at the token endpoint:** {status}, `error` `{error}`{or}"))
        }
        _ => None,
    }
}

#[test]
fn the_page_of_refusals_is_the_one_that_the_set_writes() {
    let (text, page) = (include_str!("../../../docs/refusals.md"), page());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/refusals.md"), &page).unwrap();
    }
    let differing = text.lines().zip(page.lines()).find(|(old, new)| old != new);
    assert!(
        text == page || std::env::var_os("UPDATE_DOCS").is_some(),
        "docs/refusals.md is not what src/refusal/ says; run this test with UPDATE_DOCS=1. First difference: {differing:?}"
    );
}

#[test]
fn a_proof_at_the_token_endpoint_has_the_error_of_its_rfc() {
    let proof = Refusal::Dpop(DpopFault::Used).into();
    assert_eq!(token::status_and_error(&proof).1, "invalid_dpop_proof");
}

/// Every `key[].key` in the texts is one of gateway.yaml.
#[test]
fn the_texts_name_only_keys_that_are_in_the_schema() {
    let schema = crate::config::schema();
    let tops: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut checked = 0;
    for &refusal in Refusal::ALL {
        for text in [refusal.cause(), refusal.fix(), refusal.example()] {
            for named in text.split('`').skip(1).step_by(2) {
                let Some((top, _)) = named.split_once(['.', '[']) else { continue };
                if !tops.contains(&top) || named.contains(' ') {
                    continue;
                }
                checked += 1;
                assert!(has(&schema, &schema, named), "{}: {named}", refusal.as_str());
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

/// True if a schema has a key, written as `a[].b.NAME.c`.
fn has(root: &Value, schema: &Value, named: &str) -> bool {
    let mut places = vec![schema];
    for step in named.replace("[]", ".[]").split('.') {
        let whole: Vec<&Value> = places.into_iter().flat_map(|place| forms(root, place)).collect();
        places = whole
            .into_iter()
            .filter_map(|place| match step {
                "[]" => place.get("items"),
                _ => place["properties"].get(step).or_else(|| {
                    place.get("additionalProperties").filter(|all| all.is_object() && step == step.to_uppercase())
                }),
            })
            .collect();
    }
    !places.is_empty()
}

/// A schema and those that it refers to or combines.
fn forms<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![schema];
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        all.extend(root.pointer(name).into_iter().flat_map(|target| forms(root, target)));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let parts = schema[key].as_array().into_iter().flatten();
        all.extend(parts.flat_map(|part| forms(root, part)));
    }
    all
}
