//! JWKS of other issuers: new and withdrawn keys, unknown `kid`s, fetches, malformed documents.

use super::issuers::{ISSUER, slowly, status, trusting, trusts};
use crate::harness::identity_provider::{IdentityProvider, Published, token};
use crate::harness::keys::{TokenKey, base64url, decode, signing_input};
use crate::harness::*;
use std::thread;
use std::time::Instant;

#[test]
fn a_new_key_is_accepted_with_its_first_token_and_the_old_one_meanwhile() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[old.jwk("old")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), |config| {
        slowly(config).set("/trusted_issuers/0/refresh/cooldown", json!("1ms"))
    });
    assert_eq!(status(&gateway, &token(&old, "old", ISSUER, "ann")), 200);
    provider.publish_keys(&[old.jwk("old"), new.jwk("new")]);
    assert_eq!(status(&gateway, &token(&new, "new", ISSUER, "ann")), 200);
    assert_eq!(status(&gateway, &token(&old, "old", ISSUER, "ann")), 200);
    assert_eq!(provider.asked(), 2);
}

#[test]
fn a_key_that_changes_under_its_old_name_is_found_too() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[old.jwk("same")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), |config| {
        slowly(config).set("/trusted_issuers/0/refresh/cooldown", json!("1ms"))
    });
    let known = token(&old, "same", ISSUER, "ann");
    assert_eq!(status(&gateway, &known), 200);
    provider.publish_keys(&[new.jwk("same")]);
    assert_eq!(status(&gateway, &token(&new, "same", ISSUER, "ann")), 200);
    assert_eq!(status(&gateway, &known), 401, "the key that signed it is gone");
}

#[test]
fn a_token_that_was_verified_before_is_refused_when_its_key_is_withdrawn() {
    let (bad, good) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[bad.jwk("bad"), good.jwk("good")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), |config| config);
    let stolen = token(&bad, "bad", ISSUER, "ann");
    assert_eq!(status(&gateway, &stolen), 200);
    provider.publish_keys(&[good.jwk("good")]);
    eventually("the withdrawn key is refused", || status(&gateway, &stolen) == 401);
    assert_eq!(status(&gateway, &token(&good, "good", ISSUER, "ann")), 200);
}

#[test]
fn ten_thousand_unknown_keys_cause_one_fetch_in_a_cooldown() {
    const CALLERS: usize = 8;
    const AT_ONCE: usize = 50;
    const ROUNDS: usize = 25;
    let (key, stranger) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (backend, gateway) = trusting(&provider.jwks_url(), slowly);
    let (_, claims) = decode(&token(&stranger, "any", ISSUER, "ann"));
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (address, claims, signature) = (gateway.address, claims.clone(), base64url(&stranger.signature(b"x")));
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                for round in 0..ROUNDS {
                    let requests = (0..AT_ONCE).flat_map(|number| {
                        let header =
                            json!({"alg": "ES256", "typ": "JWT", "kid": format!("k{caller}-{round}-{number}")});
                        let token = format!("{}.{signature}", signing_input(&header, &claims));
                        Request::new(address, "GET", "/me/x").customer(&token).bytes()
                    });
                    connection.send(&requests.collect::<Vec<u8>>());
                    for _ in 0..AT_ONCE {
                        let answer = connection.receive("GET").unwrap();
                        assert_eq!(answer.status, 401, "{}", answer.text());
                    }
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let most = 2 + usize::try_from(begun.elapsed().as_secs() / 2).unwrap();
    let labels = [("refusal", "customer_token_unknown_key")];
    gateway.expect_metric("wicketgate_requests_total", &labels, (CALLERS * AT_ONCE * ROUNDS) as f64);
    assert!(provider.asked() <= most, "{} fetches for 10,000 unknown keys, at most {most}", provider.asked());
    backend.assert_untouched();
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
}

#[test]
fn a_kid_of_any_form_is_looked_up_in_memory_and_nowhere_else() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks", elsewhere.local_addr().unwrap());
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (backend, gateway) = trusting(&provider.jwks_url(), |config| {
        slowly(config).set("/trusted_issuers/0/refresh/cooldown", json!("1ms")).route(
            "me",
            "customer_token_sources",
            json!([{"header": {"name": "customer-auth", "scheme": "JWT"}}, {"body": "/token"}]),
        )
    });
    let (_, claims) = decode(&token(&key, "one", ISSUER, "ann"));
    let signed = |header: &str| {
        let input = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.to_string().as_bytes()));
        format!("{input}.{}", base64url(&key.signature(input.as_bytes())))
    };
    let with = |kid: &str| signed(&format!(r#"{{"alg":"ES256","typ":"JWT","kid":{kid}}}"#));
    let word = |answer: &Response| {
        let line = gateway.access_line(answer.header("x-request-id").unwrap());
        line["refusal"].as_str().unwrap_or_default().to_owned()
    };
    for kid in [
        "7",
        "null",
        "true",
        "[]",
        "[\"one\"]",
        "{}",
        "\"x\\u0000y\"",
        "\"one\",\"kid\":\"one\"",
        "\"two\",\"kid\":\"one\"",
    ] {
        let answer = gateway.get("/me/x").customer(&with(kid)).send().expect(401, "401-03");
        assert_eq!(word(&answer), "customer_token_malformed", "{kid}");
    }
    for (length, expected) in [(1025, "customer_token_malformed"), (100_000, "customer_token_too_long")] {
        let body = json!({"token": with(&json!("k".repeat(length)).to_string())}).to_string();
        let answer = gateway.post("/me/x").json(&body).send().expect(401, "401-03");
        assert_eq!(word(&answer), expected, "{length}");
    }
    assert_eq!(provider.asked(), 1, "what can be no kid asks nobody");
    for kid in ["../../etc/passwd", "' OR 1=1 --", "$(id)", "", "one ", "ONE", &url, "file:///etc/passwd"] {
        let answer = gateway.get("/me/x").customer(&with(&json!(kid).to_string())).send().expect(401, "401-03");
        assert_eq!(word(&answer), "customer_token_unknown_key", "{kid}");
    }
    assert!(elsewhere.accept().is_err(), "the gateway went where a kid led it");
    backend.assert_untouched();
    assert_eq!(status(&gateway, &with("\"one\"")), 200);
}

#[test]
fn fifty_that_wait_for_the_same_key_cause_one_fetch() {
    let (old, new) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[old.jwk("old")]);
    let (_backend, gateway) =
        trusting(&provider.jwks_url(), |config| slowly(config).set("/trusted_issuers/0/refresh/cooldown", json!("1s")));
    provider.publish_keys(&[old.jwk("old"), new.jwk("new")]);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (address, new) = (gateway.address, new.clone());
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                let mut ask = || {
                    let token = token(&new, "new", ISSUER, "ann");
                    Request::new(address, "GET", "/me/x").customer(&token).send_on(&mut connection).status
                };
                eventually("the cooldown is over", || ask() == 200);
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(provider.asked(), 2);
}

#[test]
fn a_malformed_jwks_keeps_the_last_good_keys() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = trusting(&provider.jwks_url(), |config| config);
    let big = vec![b' '; 20 << 20];
    let elsewhere = format!("Location: http://{}/jwks\r\n", gateway.admin);
    let weak = json!({"keys": [{"kty": "RSA", "kid": "weak", "e": "AQAB", "n": "zzzz"}, {"kty": "oct", "k": "AAAA", "kid": "s"}]});
    let twice = json!({"keys": [key.jwk("two"), TokenKey::generate().jwk("two")]});
    let cases: [(&str, &str, &str, &[u8]); 9] = [
        ("json", "200 OK", "Content-Type: text/html\r\n", b"<html>maintenance</html>"),
        ("empty", "200 OK", "", br#"{"keys": []}"#),
        ("empty", "200 OK", "", weak.to_string().leak().as_bytes()),
        ("empty", "200 OK", "", twice.to_string().leak().as_bytes()),
        ("json", "200 OK", "", b"\xff\xfe"),
        ("too_large", "200 OK", "", big.leak()),
        ("redirect", "302 Found", elsewhere.leak(), b""),
        ("status", "500 Internal Server Error", "", b"{\"keys\": []}"),
        ("status", "204 No Content", "", b""),
    ];
    for (outcome, answer, headers, body) in cases {
        let labels = [("issuer", ISSUER), ("outcome", outcome)];
        let before = gateway.metric("wicketgate_issuer_fetches_total", &labels);
        provider.publish_answer(answer, headers, body);
        eventually(outcome, || gateway.metric("wicketgate_issuer_fetches_total", &labels) > before);
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200, "{outcome}");
    }
    for (outcome, what) in [
        ("broken", Published::Close),
        ("broken", Published::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec())),
        ("broken", Published::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("timeout", Published::Hang(Gate::default())),
    ] {
        let labels = [("issuer", ISSUER), ("outcome", outcome)];
        let before = gateway.metric("wicketgate_issuer_fetches_total", &labels);
        provider.publish(what);
        eventually(outcome, || gateway.metric("wicketgate_issuer_fetches_total", &labels) > before);
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200, "{outcome}");
    }
    provider.publish_keys(&[key.jwk("three")]);
    eventually("it recovers", || status(&gateway, &token(&key, "three", ISSUER, "ann")) == 200);
}

#[test]
fn keys_that_are_too_old_are_no_keys() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) =
        trusting(&provider.jwks_url(), |config| config.set("/trusted_issuers/0/refresh/keep", json!("2s")));
    let known = token(&key, "one", ISSUER, "ann");
    assert_eq!(status(&gateway, &known), 200);
    provider.die();
    eventually("the keys are too old", || status(&gateway, &known) == 503);
    let ready = gateway.admin("/readyz");
    assert!(ready.status == 200 && ready.text().contains("degraded: issuer:"), "{}", ready.text());
}

#[test]
fn a_reload_keeps_the_keys_and_asks_nobody() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let backend = Backend::start();
    let config = slowly(trusts(Config::new(&backend), &provider.jwks_url()));
    let gateway = Gateway::start(&config);
    provider.publish(Published::Close);
    gateway.reload(&config.clone().set("/trusted_issuers/0/clock_skew", json!("10s")), "reloaded");
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    assert_eq!(provider.asked(), 1);
    gateway.reload(&config.without("/trusted_issuers"), "reloaded");
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 401);
}
