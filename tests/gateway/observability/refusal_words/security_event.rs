//! Refusals of logout tokens and security events that issuers send.

use super::Provoked;
use crate::harness::identity_provider::token_with;
use crate::harness::keys::{TokenKey, base64url, hs256, now, random};
use crate::harness::*;

pub(super) const WORDS: &[&[&str]] = &[EVENTS];

const EVENTS: &[&str] = &[
    "security_event_malformed",
    "security_event_header_not_allowed",
    "security_event_algorithm",
    "security_event_type",
    "security_event_issuer",
    "security_event_unknown_key",
    "security_event_signature",
    "security_event_expired",
    "security_event_not_yet_valid",
    "security_event_audience",
    "security_event_subject",
    "security_event_unknown_client",
    "security_event_claim",
    "security_event_no_keys",
    "security_event_used",
];

const ISSUER: &str = "https://login.example.com";
/// An issuer whose keys nobody publishes.
const KEYLESS: &str = "https://keyless.example.com";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token of a customer, changed.
fn logout(key: &TokenKey, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = json!({"alg": "ES256", "typ": "logout+jwt", "kid": "partner-1"});
    let mut claims = json!({
        "iss": ISSUER, "aud": "web-app", "iat": now(), "exp": now() + 120, "jti": base64url(&random::<8>()),
        "sub": "ann", "events": {LOGOUT: {}},
    });
    change(&mut header, &mut claims);
    key.sign(&header, &claims)
}

#[test]
fn words_of_logout_tokens_and_security_events() {
    let key = TokenKey::generate();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_backend, gateway) = world_with(|c| {
        let mut config = c
            .trust(ISSUER, &key)
            .set("/trusted_issuers/0/logout", json!({"audiences": ["web-app"]}))
            .set("/trusted_issuers/0/max_lifetime", json!("1h"))
            .set(
                "/trusted_issuers/0/security_events",
                json!({"audiences": ["web-app"], "authorization": {"file": "certs/transmitter.key"}}),
            )
            .file("certs/transmitter.key", "transmitter-secret-5Hq2");
        let keyless = json!({
            "issuer": KEYLESS, "jwks": format!("http://{nobody}/jwks"), "audiences": ["legacy-api"],
            "algorithms": ["ES256"], "max_lifetime": "1h", "logout": {"audiences": ["web-app"]},
        });
        config.yaml["trusted_issuers"].as_array_mut().unwrap().push(keyless);
        config
    });
    let provoked = Provoked::at(&gateway);
    let tell = |token: &str| gateway.post("/oauth/backchannel_logout").form(&format!("logout_token={token}"));
    let refused = |word: &'static str, token: &str| provoked.sent(word, &tell(token));
    let headed = |name: &'static str, value: Value| logout(&key, |header, _| header[name] = value);
    let set = |name: &'static str, value: Value| logout(&key, |_, claims| claims[name] = value);
    refused("security_event_malformed", "abc");
    refused("security_event_header_not_allowed", &headed("crit", json!(["exp"])));
    let (mut header, claims) = keys::decode(&logout(&key, |_, _| {}));
    header["alg"] = json!("HS256");
    refused("security_event_algorithm", &hs256(&header, &claims, key.public_pem.as_bytes()));
    refused("security_event_type", &headed("typ", json!("at+jwt")));
    refused("security_event_issuer", &set("iss", json!("https://evil.example")));
    refused("security_event_unknown_key", &headed("kid", json!("partner-2")));
    refused("security_event_signature", &logout(&TokenKey::generate(), |_, _| {}));
    refused("security_event_expired", &set("iat", json!(now() - 3_600)));
    refused("security_event_not_yet_valid", &set("iat", json!(now() + 100)));
    refused("security_event_audience", &set("aud", json!("another-app")));
    refused("security_event_subject", &logout(&key, |_, claims| drop(claims.as_object_mut().unwrap().remove("sub"))));
    refused("security_event_claim", &token_with(&key, "partner-1", ISSUER, "ann", |it| it["aud"] = json!("web-app")));
    refused("security_event_no_keys", &set("iss", json!(KEYLESS)));
    let once = logout(&key, |_, _| {});
    tell(&once).send().ok();
    refused("security_event_used", &once);
    let pushed = headed("typ", json!("secevent+jwt"));
    let push = gateway.post("/oauth/security_events").header("Content-Type", "application/secevent+jwt").body(pushed);
    provoked.sent("security_event_unknown_client", &push);
    provoked.are(EVENTS);
}
