//! `private_key_jwt`: a client proves itself by what it signs with its own key (RFC 7523).

use crate::harness::gateway::form_encode;
use crate::harness::identity_provider::{IdentityProvider, Published};
use crate::harness::keys::{TokenKey, base64url, hs256, now, random};
use crate::harness::*;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(super) const TOKEN: &str = "/oauth/access_token";
/// What the gateway calls itself, and where its token endpoint is.
const ISSUER: &str = "https://gateway.test";
const ENDPOINT: &str = "https://gateway.test/oauth/access_token";
/// A client that has keys and no secret.
pub(crate) const SIGNER: &str = "signer";

/// With a client that has these keys, at an address or in a file.
pub(super) fn with_signer(config: Config, jwks: Value) -> Config {
    let mut config = config;
    let client = json!({"id": SIGNER, "jwks": jwks, "scopes": ["profile"]});
    config.yaml["clients"].as_array_mut().unwrap().push(client);
    config
}

pub(crate) fn in_file(config: Config, keys: &[Value]) -> Config {
    with_signer(config, json!({"file": "certs/signer.json"}))
        .file("certs/signer.json", &json!({"keys": keys}).to_string())
}

fn signing(key: &TokenKey) -> (Backend, Gateway) {
    world_with(|config| in_file(config, &[key.jwk("one")]))
}

/// What a good assertion says.
pub(super) fn claims() -> Value {
    json!({
        "iss": SIGNER, "sub": SIGNER, "aud": ISSUER, "iat": now(), "exp": now() + 60, "jti": base64url(&random::<12>()),
    })
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "one", "typ": "JWT"})
}

pub(crate) fn assertion(key: &TokenKey, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    key.sign(&header(), &claims)
}

pub(super) fn form(assertion: &str) -> String {
    format!("client_assertion_type={}&client_assertion={assertion}", form_encode(TYPE))
}

pub(crate) fn ask(gateway: &Gateway, assertion: &str) -> Response {
    gateway.post(TOKEN).form(&format!("grant_type=client_credentials&{}", form(assertion))).send()
}

/// The answer is `invalid_client` and nothing else, and the log has this word and no client but a known one.
#[track_caller]
pub(crate) fn refused(gateway: &Gateway, answer: Response, word: &str) {
    let answer = answer.expect(401, "");
    let same = json!({"error": "invalid_client", "error_description": "Client authentication failed."});
    assert_eq!(answer.json(), same);
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    let known = [Value::Null, json!(SIGNER), json!(CLIENT.name), json!(OTHER_CLIENT.name)];
    assert_eq!((line["refusal"].as_str(), known.contains(&line["client"])), (Some(word), true), "{line}");
}

#[test]
fn a_client_that_signs_gets_a_token_without_a_secret_by_either_name_of_the_issuer() {
    let key = TokenKey::generate();
    let (_backend, gateway) = signing(&key);
    for audience in [json!(ISSUER), json!(ENDPOINT), json!([ISSUER])] {
        let body = ask(&gateway, &assertion(&key, |claims| claims["aud"] = audience)).ok().json();
        assert_eq!((&body["client_id"], &body["scope"]), (&json!(SIGNER), &json!("profile")));
        gateway.get("/system/x").bearer(body["access_token"].as_str().unwrap()).send().ok();
    }
    for kind in [json!("client-authentication+jwt"), Value::Null] {
        let mut header = header();
        header["typ"] = kind.clone();
        if kind.is_null() {
            header.as_object_mut().unwrap().remove("typ");
        }
        ask(&gateway, &key.sign(&header, &claims())).ok();
    }
    // Its id may stand beside it, and `iat` may be missing.
    let bare = assertion(&key, |claims| drop(claims.as_object_mut().unwrap().remove("iat")));
    let form = format!("grant_type=client_credentials&client_id={SIGNER}&{}", form(&bare));
    gateway.post(TOKEN).form(&form).send().ok();
    assert_eq!(gateway.metric("wicketgate_password_hashes_total", &[]), 0.0);
    let used = [("kind", "client_key"), ("id", SIGNER), ("version", "one")];
    assert!(gateway.metric("wicketgate_key_last_used_timestamp_seconds", &used) > 1e9);
    let (_, keys, _) = gateway.files.run(&["keys", "--config", "gateway.yaml"]);
    assert!(keys.lines().any(|line| line.starts_with("client_key") && line.contains(SIGNER)), "{keys}");
}

#[test]
fn an_assertion_that_is_not_for_us_alone_now_and_from_this_client_is_no_client() {
    let (key, stranger) = (TokenKey::generate(), TokenKey::generate());
    let (backend, gateway) = world_with(|config| {
        in_file(config, &[key.jwk("one")])
            .set("/access_token/attempts", json!({"free": 1000, "free_per_address": 1000}))
    });
    let other = "https://other.test/oauth/access_token";
    let without = |name: &'static str| move |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(name));
    let set = |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value;
    let cases: Vec<(&str, String)> = vec![
        ("client_assertion_audience", assertion(&key, set("aud", json!([ISSUER, other])))),
        ("client_assertion_audience", assertion(&key, set("aud", json!([ISSUER, ISSUER])))),
        ("client_assertion_audience", assertion(&key, set("aud", json!(other)))),
        ("client_assertion_audience", assertion(&key, set("aud", json!([])))),
        ("client_assertion_audience", assertion(&key, set("aud", json!("legacy-api")))),
        ("client_assertion_audience", assertion(&key, set("aud", json!("https://gateway.test/")))),
        ("client_assertion_audience", assertion(&key, without("aud"))),
        ("client_assertion_claim", assertion(&key, without("jti"))),
        ("client_assertion_claim", assertion(&key, set("jti", json!("")))),
        ("client_assertion_malformed", assertion(&key, set("jti", json!(7)))),
        ("client_assertion_lifetime", assertion(&key, set("exp", json!(now() + 3600)))),
        ("client_assertion_malformed", assertion(&key, without("exp"))),
        ("client_assertion_malformed", assertion(&key, set("exp", json!((now() + 60).to_string())))),
        ("client_assertion_expired", assertion(&key, set("exp", json!(now() - 40)))),
        ("client_assertion_not_yet_valid", assertion(&key, set("nbf", json!(now() + 45)))),
        ("client_assertion_not_yet_valid", assertion(&key, set("iat", json!(now() + 45)))),
        ("client_assertion_subject", assertion(&key, set("sub", json!(CLIENT.name)))),
        ("client_assertion_subject", assertion(&key, without("sub"))),
        ("unknown_client", assertion(&key, set("iss", json!("nobody")))),
        (
            "client_assertion_unknown_key",
            assertion(&key, |claims| {
                claims["iss"] = json!(CLIENT.name);
                claims["sub"] = json!(CLIENT.name);
            }),
        ),
        ("client_assertion_signature", assertion(&stranger, |_| {})),
        ("client_assertion_unknown_key", key.sign(&json!({"alg": "ES256", "kid": "two"}), &claims())),
        (
            "client_assertion_algorithm",
            hs256(&json!({"alg": "HS256", "kid": "one"}), &claims(), key.public_pem.as_bytes()),
        ),
        ("client_assertion_algorithm", key.sign(&json!({"alg": "none", "kid": "one"}), &claims())),
        ("client_assertion_type", key.sign(&json!({"alg": "ES256", "kid": "one", "typ": "at+jwt"}), &claims())),
        (
            "client_assertion_header_not_allowed",
            key.sign(&json!({"alg": "ES256", "kid": "one", "crit": ["exp"]}), &claims()),
        ),
        ("client_assertion_malformed", "a.b.c".to_owned()),
    ];
    for (word, assertion) in &cases {
        refused(&gateway, ask(&gateway, assertion), word);
    }
    let beside = format!("grant_type=client_credentials&client_id={}&{}", CLIENT.name, form(&assertion(&key, |_| {})));
    refused(&gateway, gateway.post(TOKEN).form(&beside).send(), "client_assertion_issuer");
    let kind = format!("client_assertion_type=urn:x&client_assertion={}", assertion(&key, |_| {}));
    let answer = gateway.post(TOKEN).form(&format!("grant_type=client_credentials&{kind}")).send();
    refused(&gateway, answer, "client_assertion_type");
    ask(&gateway, &assertion(&key, |_| {})).ok();
    backend.assert_untouched();
}

fn an_assertion_is_good_once_on_every_endpoint_and_after_a_restart(store: &Store) {
    let key = TokenKey::generate();
    let (_backend, gateway) = store.world_with(|config| in_file(config, &[key.jwk("one")]));
    let first = assertion(&key, |_| {});
    let token = ask(&gateway, &first).ok().json()["access_token"].as_str().unwrap().to_owned();
    refused(&gateway, ask(&gateway, &first), "client_assertion_used");
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let answer = gateway.post(path).form(&format!("token={token}&{}", form(&first))).send();
        refused(&gateway, answer, "client_assertion_used");
        let fresh = assertion(&key, |_| {});
        let about = gateway.post(path).form(&format!("token={token}&{}", form(&fresh)));
        let answer = about.send().ok();
        if path == "/oauth/introspect" {
            assert_eq!(answer.json()["client_id"], SIGNER);
        }
        refused(&gateway, about.send(), "client_assertion_used");
    }
    gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
    let gateway = gateway.restart();
    refused(&gateway, ask(&gateway, &first), "client_assertion_used");
    // What is wrong uses nothing up.
    let claims = claims();
    let forged = TokenKey::generate().sign(&header(), &claims);
    let answer = ask(&gateway, &forged);
    // Whom it names is in the log, though it did not prove itself.
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["client"], SIGNER);
    refused(&gateway, answer, "client_assertion_signature");
    ask(&gateway, &key.sign(&header(), &claims)).ok();
    // Another client's ids are others.
    gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
}

#[test]
fn a_client_that_fills_the_ids_that_are_good_once_is_told_so_and_every_other_goes_on_also_after_a_restart() {
    let (greedy, modest) = (TokenKey::generate(), TokenKey::generate());
    let (_backend, gateway) = world_with(|config| {
        let mut config = in_file(config, &[greedy.jwk("one")]);
        let client = json!({"id": "modest", "jwks": {"file": "certs/modest.json"}, "scopes": ["profile"]});
        config.yaml["clients"].as_array_mut().unwrap().push(client);
        config
            .file("certs/modest.json", &json!({"keys": [modest.jwk("one")]}).to_string())
            .set("/state/embedded", json!({"path": "data/", "max_replay_ids": 20}))
    });
    let is_full = |gateway: &Gateway| {
        let answer = ask(gateway, &assertion(&greedy, |_| {})).expect(429, "");
        assert_eq!(answer.json()["error"], "temporarily_unavailable", "{}", answer.text());
        assert!(answer.header("Retry-After").is_some());
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!((&line["refusal"], &line["client"]), (&json!("replay_share"), &json!(SIGNER)), "{line}");
    };
    let others_go_on = |gateway: &Gateway| {
        let of_modest = |claims: &mut Value| {
            claims["iss"] = json!("modest");
            claims["sub"] = json!("modest");
        };
        ask(gateway, &assertion(&modest, of_modest)).ok();
    };
    for _ in 0..10 {
        ask(&gateway, &assertion(&greedy, |_| {})).ok();
    }
    is_full(&gateway);
    others_go_on(&gateway);
    is_full(&gateway);
    assert_eq!(gateway.metric("wicketgate_replay_ids", &[]), 11.0);
    assert_eq!(gateway.metric("wicketgate_replay_ids_limit", &[]), 20.0);
    let gateway = gateway.restart();
    is_full(&gateway);
    others_go_on(&gateway);
}

on_both_stores! {
    an_assertion_is_good_once_on_every_endpoint_and_after_a_restart
}

#[test]
fn an_assertion_that_one_replica_has_taken_is_refused_by_another_and_without_the_store_nobody_knows() {
    let key = TokenKey::generate();
    let mut server = RedisServer::start();
    let backend = Backend::start();
    let config = in_file(Config::new(&backend), &[key.jwk("one")])
        .set("/state", json!({"redis": {"url": server.url(), "prefix": "gw:"}}));
    let (one, other) = (Gateway::start(&config), Gateway::start(&config));
    one.is_ready();
    other.is_ready();
    let first = assertion(&key, |_| {});
    ask(&one, &first).ok();
    refused(&other, ask(&other, &first), "client_assertion_used");
    let left = server.command(&["KEYS", "gw:u:*"]);
    let seconds: u64 = server.command(&["TTL", left.trim()]).parse().unwrap();
    assert!((61..=120).contains(&seconds), "it is forgotten in {seconds} s");
    server.kill();
    let answer = ask(&one, &assertion(&key, |_| {})).expect(503, "");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    // Nothing of a refusal needs the store.
    refused(&one, ask(&one, &assertion(&TokenKey::generate(), |_| {})), "client_assertion_signature");
    backend.assert_untouched();
}

#[test]
fn two_methods_of_client_authentication_at_once_are_an_invalid_request() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|config| {
        in_file(config, &[key.jwk("one")]).set("/clients/2/secrets", json!([keys::argon2id(CLIENT.secret)]))
    });
    let basic = format!("Basic {}", keys::base64(format!("{SIGNER}:{}", CLIENT.secret).as_bytes()));
    let plain = gateway.post(TOKEN);
    let with_basic = plain.clone().header("Authorization", &basic);
    let secret = format!("client_secret={}", CLIENT.secret);
    let signed = || form(&assertion(&key, |_| {}));
    let grant = format!("grant_type=client_credentials&client_id={SIGNER}");
    // Each by itself, and an empty parameter is none.
    plain.clone().form(&format!("{grant}&{secret}&client_assertion=")).send().ok();
    plain.clone().form(&format!("{grant}&client_secret=&{}", signed())).send().ok();
    with_basic.clone().form(&format!("{grant}&client_secret=")).send().ok();
    let both = [
        with_basic.clone().form(&format!("{grant}&{secret}")),
        with_basic.clone().form(&format!("{grant}&{}", signed())),
        with_basic.clone().form(&format!("{grant}&client_assertion_type={}", form_encode(TYPE))),
        with_basic.clone().header("Authorization", &basic).form(&grant),
        plain.clone().form(&format!("{grant}&{secret}&{}", signed())),
        plain.clone().form(&format!("{grant}&{}&{}", signed(), signed())),
        plain.clone().form(&format!("{grant}&client_assertion={}", assertion(&key, |_| {}))),
        plain.clone().form(&format!("{grant}&client_assertion_type={}", form_encode(TYPE))),
        gateway.post(&format!("{TOKEN}?client_assertion={}", assertion(&key, |_| {}))).form(&grant),
    ];
    for request in both {
        let answer = request.send().expect(400, "");
        assert_eq!(answer.json()["error"], "invalid_request", "{:?}", request.body);
    }
}

#[test]
fn a_client_is_held_to_the_methods_and_algorithms_that_are_configured_for_it() {
    let (key, weak) = (TokenKey::generate(), TokenKey::generate());
    let mut unnamed = weak.jwk("weak");
    unnamed.as_object_mut().unwrap().remove("alg");
    let (_backend, gateway) = world_with(|config| {
        in_file(config, &[key.jwk("one")])
            .set("/clients/1/jwks", json!({"file": "certs/other.json"}))
            .set("/clients/1/algorithms", json!(["ES256"]))
            .file("certs/other.json", &json!({"keys": [unnamed]}).to_string())
    });
    // It has keys, and no secret.
    let answer = gateway.token_request(SIGNER, CLIENT.secret).send();
    refused(&gateway, answer, "wrong_client_secret");
    // It has a secret, and no keys.
    let by_asapp = assertion(&key, |claims| {
        claims["iss"] = json!(CLIENT.name);
        claims["sub"] = json!(CLIENT.name);
    });
    refused(&gateway, ask(&gateway, &by_asapp), "client_assertion_unknown_key");
    // It has both.
    gateway.token_request(OTHER_CLIENT.name, OTHER_CLIENT.secret).send().ok();
    let mut claims = claims();
    claims["iss"] = json!(OTHER_CLIENT.name);
    claims["sub"] = json!(OTHER_CLIENT.name);
    let signed = weak.sign(&json!({"alg": "ES256", "kid": "weak"}), &claims);
    ask(&gateway, &signed).ok();
    // Another client's key is none of its own.
    claims["jti"] = json!("another");
    let by_signer = key.sign(&json!({"alg": "ES256", "kid": "one"}), &claims);
    refused(&gateway, ask(&gateway, &by_signer), "client_assertion_unknown_key");
}

#[test]
fn keys_at_an_address_are_fetched_before_the_first_call_and_new_ones_with_their_first_assertion() {
    let (key, next) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = world_with(|config| with_signer(config, json!(provider.jwks_url())));
    ask(&gateway, &assertion(&key, |_| {})).ok();
    assert_eq!(provider.asked(), 1);
    gateway.expect_metric("wicketgate_issuer_keys", &[("issuer", "client signer")], 1.0);
    provider.publish(Published::Close);
    let gateway = gateway.restart();
    ask(&gateway, &assertion(&key, |_| {})).ok();
    // Nobody can know whether there is such a key.
    let by_next = || next.sign(&json!({"alg": "ES256", "kid": "two"}), &claims());
    let answer = ask(&gateway, &by_next()).expect(503, "");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    provider.publish_keys(&[key.jwk("one"), next.jwk("two")]);
    let until = std::time::Instant::now() + DEADLINE;
    while ask(&gateway, &by_next()).status != 200 {
        assert!(std::time::Instant::now() < until, "the new key is not found");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_gateway_without_the_keys_of_a_client_serves_all_others_and_says_what_is_missing() {
    let key = TokenKey::generate();
    let address = IdentityProvider::start(&[]).die();
    let (_backend, gateway) = world_with(|config| with_signer(config, json!(format!("http://{address}/jwks"))));
    let ready = gateway.admin("/readyz");
    assert!(ready.status == 200 && ready.text().contains("degraded: issuer:client "), "{}", ready.text());
    ask(&gateway, &assertion(&key, |_| {})).expect(503, "");
    gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
}

#[test]
fn keys_by_https_are_those_that_the_ca_vouches_for_and_a_file_that_changes_is_read_again() {
    let (key, next) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start_tls(&[key.jwk("one")]);
    let url = format!("https://localhost:{}/jwks", provider.address.port());
    let (_backend, gateway) =
        world_with(|config| with_signer(config, json!(url)).set("/clients/2/ca", json!("certs/ca.pem")));
    ask(&gateway, &assertion(&key, |_| {})).ok();
    let backend = Backend::start();
    let gateway = Gateway::start(&in_file(Config::new(&backend), &[key.jwk("one")]));
    ask(&gateway, &assertion(&key, |_| {})).ok();
    gateway.reload(&in_file(Config::new(&backend), &[next.jwk("one")]), "reloaded");
    refused(&gateway, ask(&gateway, &assertion(&key, |_| {})), "client_assertion_signature");
    ask(&gateway, &assertion(&next, |_| {})).ok();
}

#[test]
fn the_metadata_name_the_methods_and_algorithms_that_clients_can_use() {
    let key = TokenKey::generate();
    let methods = |gateway: &Gateway| {
        let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
        for endpoint in ["revocation", "introspection"] {
            for what in ["methods", "signing_alg_values"] {
                let of = |endpoint: &str| metadata[format!("{endpoint}_endpoint_auth_{what}_supported")].clone();
                assert_eq!(of(endpoint), of("token"));
            }
        }
        let algorithms = metadata["token_endpoint_auth_signing_alg_values_supported"].clone();
        (metadata["token_endpoint_auth_methods_supported"].clone(), algorithms)
    };
    let secrets = json!(["client_secret_basic", "client_secret_post"]);
    let (_backend, gateway) = world();
    assert_eq!(methods(&gateway), (secrets, Value::Null));
    let (_backend, gateway) = signing(&key);
    let all = json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]);
    assert_eq!(methods(&gateway), (all, json!(["ES256", "EdDSA", "PS256", "RS256"])));
    let (_backend, gateway) = world_with(|config| {
        let config = in_file(config, &[key.jwk("one")]).set("/clients/2/algorithms", json!(["ES256"]));
        let only = config.yaml["clients"][2].clone();
        config.set("/clients", json!([only])).without("/api_keys/1").without("/api_keys/0/client")
    });
    assert_eq!(methods(&gateway), (json!(["private_key_jwt"]), json!(["ES256"])));
}
