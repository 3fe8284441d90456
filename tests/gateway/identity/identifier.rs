//! The opaque customer identifier: derivation, stability, tracing, and identifiers that a caller sends.

use crate::harness::keys::{TokenKey, decode, key_file, now};
use crate::harness::*;

/// The identifier that the backend gets for this customer token.
#[track_caller]
fn identifier(backend: &Backend, gateway: &Gateway, token: &str) -> String {
    gateway.get("/me/x").customer(token).send().ok();
    backend.last().header("X-Customer-Id").expect("no identifier at the backend").to_owned()
}

#[test]
fn the_identifier_is_unique_opaque_and_safe_in_headers_and_addresses() {
    let (backend, gateway) = world();
    let alice = identifier(&backend, &gateway, &gateway.login(ALICE));
    let bob = identifier(&backend, &gateway, &gateway.login(BOB));
    assert_ne!(alice, bob);
    for (id, account) in [(&alice, ALICE), (&bob, BOB)] {
        assert!(id.len() >= 22, "at least 128 bits: {id}");
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)), "{id}");
        assert!(!id.contains(account.subject) && !id.contains(account.name), "{id}");
    }
}

#[test]
fn the_identifier_is_the_same_at_each_login_and_after_a_restart() {
    let (backend, gateway) = world();
    let before = identifier(&backend, &gateway, &gateway.login(ALICE));
    assert_eq!(before, identifier(&backend, &gateway, &gateway.login(ALICE)));
    let old_token = gateway.customer_token();
    let gateway = gateway.restart();
    assert_eq!(before, identifier(&backend, &gateway, &gateway.login(ALICE)));
    assert_eq!(before, identifier(&backend, &gateway, &old_token));
}

#[test]
fn another_identifier_key_or_tenant_gives_other_identifiers() {
    let (backend, gateway) = world();
    let before = identifier(&backend, &gateway, &gateway.login(ALICE));
    gateway.files.write("certs/identifier.key", &key_file());
    let gateway = gateway.restart();
    assert_ne!(before, identifier(&backend, &gateway, &gateway.login(ALICE)), "the hash is keyed");
    let same_key = identifier(&backend, &gateway, &gateway.login(ALICE));
    let other = Config::new(&backend).set("/identifier/tenant", json!("https://other.test"));
    gateway.files.configure(&other);
    let gateway = gateway.restart();
    assert_ne!(same_key, identifier(&backend, &gateway, &gateway.login(ALICE)));
}

#[test]
fn id_for_and_id_trace_map_both_ways() {
    let (backend, gateway) = world();
    let id = identifier(&backend, &gateway, &gateway.login(ALICE));
    let (code, out, err) = gateway.files.run(&["id", "for", ALICE.subject, "--config", "gateway.yaml"]);
    assert_eq!((code, out.contains(&id)), (0, true), "{out}{err}");
    let (code, out, err) = gateway.files.run(&["id", "trace", &id, "--config", "gateway.yaml"]);
    assert_eq!((code, out.contains(ALICE.subject)), (0, true), "{out}{err}");
    let flipped =
        if id.ends_with('A') { format!("{}B", &id[..id.len() - 1]) } else { format!("{}A", &id[..id.len() - 1]) };
    let (code, out, _) = gateway.files.run(&["id", "trace", &flipped, "--config", "gateway.yaml"]);
    assert!(code != 0 && !out.contains(ALICE.subject), "{out}");
}

#[test]
fn one_way_identifiers_can_be_found_but_not_traced() {
    let (backend, gateway) = world_with(|c| c.set("/identifier/mode", json!("one_way")));
    let id = identifier(&backend, &gateway, &gateway.login(ALICE));
    let (code, out, _) = gateway.files.run(&["id", "for", ALICE.subject, "--config", "gateway.yaml"]);
    assert_eq!((code, out.contains(&id)), (0, true), "{out}");
    let (code, out, _) = gateway.files.run(&["id", "trace", &id, "--config", "gateway.yaml"]);
    assert!(code != 0 && !out.contains(ALICE.subject), "{out}");
}

#[test]
fn rotating_the_signing_key_changes_no_identifier_and_old_tokens_stay_good() {
    let (backend, gateway) = world_with(|config| config.set("/issuer/publish_delay", json!("0s")));
    let old_token = gateway.login(ALICE);
    let before = identifier(&backend, &gateway, &old_token);
    let next = TokenKey::generate();
    gateway.files.write("certs/signing/20260601T000000Z-es256.pem", &next.pem);
    gateway.hup("reloaded");
    let new_token = gateway.login(ALICE);
    assert_ne!(decode(&old_token).0["kid"], decode(&new_token).0["kid"], "the newest key signs");
    assert_eq!(before, identifier(&backend, &gateway, &new_token));
    assert_eq!(before, identifier(&backend, &gateway, &old_token));
    assert_eq!(gateway.get("/.well-known/jwks.json").send().ok().json()["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn the_subject_is_the_identifier_and_no_claim_tells_who_it_is() {
    let (backend, gateway) = world();
    let token = gateway.login(ALICE);
    let (_, claims) = decode(&token);
    assert_eq!(claims["sub"].as_str(), Some(identifier(&backend, &gateway, &token).as_str()));
    let text = claims.to_string();
    assert!(!text.contains(ALICE.name) && !text.contains(ALICE.subject), "{text}");
}

#[test]
fn the_identifier_in_a_header_must_be_the_tokens_own() {
    let (backend, gateway) = world();
    let token = gateway.login(ALICE);
    let (own, other) = (identifier(&backend, &gateway, &token), identifier(&backend, &gateway, &gateway.login(BOB)));
    backend.forget();
    let request = gateway.get("/me/x").customer(&token);
    let reversed: String = own.chars().rev().collect();
    for wrong in [other.as_str(), "", "x", &reversed, ALICE.subject] {
        let answer = request.clone().header("X-Customer-Id", wrong).send();
        assert_eq!((answer.status, answer.code().as_str()), (403, "403-03"), "{wrong:?}");
    }
    backend.assert_untouched();
    request.header("x-customer-id", &own).send().ok();
    assert_eq!(backend.only().all("X-Customer-Id"), [own]);
}

fn in_the_body(config: Config) -> Config {
    config.route("me", "identifier", json!({"body": "/customer/id"}))
}

#[test]
fn the_identifier_in_a_body_must_be_the_tokens_own() {
    let (backend, gateway) = world_with(in_the_body);
    let token = gateway.login(ALICE);
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    let send = |body: Value| gateway.post("/me/x").customer(&token).json(&body.to_string()).send();
    for wrong in [json!("x"), json!(1), json!([own]), json!({"id": own})] {
        send(json!({"customer": {"id": wrong}})).expect(403, "403-03");
    }
    backend.assert_untouched();
    send(json!({"customer": {"id": own}, "amount": 1})).ok();
    send(json!({"customer": {}, "amount": 1})).ok();
    send(json!({"amount": 1})).ok();
    for seen in backend.requests() {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body, json!({"customer": {"id": own}, "amount": 1}));
        assert_eq!(seen.header("Content-Length"), Some(seen.body.len().to_string().as_str()));
    }
}

#[test]
fn a_body_that_two_readers_read_differently_is_refused() {
    let (backend, gateway) = world_with(in_the_body);
    let token = gateway.customer_token();
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    let twice = format!(r#"{{"customer":{{"id":"x","id":"{own}"}}}}"#);
    let escaped = format!(r#"{{"customer":{{"id":"{own}","i\u0064":"x"}}}}"#);
    let objects = format!(r#"{{"customer":{{"id":"x"}},"customer":{{"id":"{own}"}}}}"#);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [twice.as_str(), &escaped, &objects, "[]", "\"x\"", "{", "{}{}", "{}\0", "\u{feff}{}", &deep] {
        let answer = gateway.post("/me/x").customer(&token).json(body).send();
        let shown: String = body.chars().take(60).collect();
        assert_eq!((answer.status, answer.code().as_str()), (400, "400-03"), "{shown}");
    }
    let typed = gateway.post("/me/x").customer(&token).header("Content-Type", "text/plain").body("{}").send();
    assert!(matches!(typed.status, 400 | 415), "{}", typed.text());
    let zipped = gateway.post("/me/x").customer(&token).header("Content-Encoding", "gzip").json("{}").send();
    assert!(matches!(zipped.status, 400 | 415), "{}", zipped.text());
    backend.assert_untouched();
}

#[test]
fn the_company_key_goes_to_the_backend_only_where_configured() {
    let placed = json!({"header": "X-Account", "send": "subject"});
    let (backend, gateway) = world_with(|c| c.route("me", "identifier", placed));
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    assert_eq!(backend.only().header("X-Account"), Some(ALICE.subject));
}

#[test]
fn tokens_are_bound_to_no_channel_and_a_second_login_ends_nothing() {
    let (_backend, gateway) = world();
    let first = gateway.login(ALICE);
    gateway.get("/me/x").customer(&first).header("User-Agent", "web").send().ok();
    let second = gateway.login(ALICE);
    for agent in ["ios", "android"] {
        gateway.get("/me/x").customer(&first).header("User-Agent", agent).send().ok();
        gateway.get("/me/x").customer(&second).header("User-Agent", agent).send().ok();
    }
}

#[test]
fn the_customer_token_can_stand_where_the_route_says() {
    let places = json!([{"header": {"name": "X-Auth"}}, {"cookie": "jwt"}, {"body": "/auth/token"}, {"bearer": true}]);
    let (backend, gateway) = world_with(|c| c.route("me", "customer_token_sources", places));
    let token = gateway.customer_token();
    let request = gateway.post("/me/x");
    let body = json!({"auth": {"token": token}}).to_string();
    request.clone().header("X-Auth", &token).send().ok();
    // What is in a cookie, a strange page could make a browser send.
    let by_cookie = request.clone().header("Cookie", &format!("a=b; jwt={token}"));
    by_cookie.clone().send().expect(403, "403-05");
    by_cookie.header("Sec-Fetch-Site", "same-origin").send().ok();
    request.clone().json(&body).send().ok();
    request.clone().bearer(&token).send().ok();
    assert_eq!(backend.requests().len(), 4);
    request.customer(&token).send().expect(401, "");
}

#[test]
fn two_different_customer_tokens_at_once_are_400() {
    let places = json!([{"header": {"name": "customer-auth", "scheme": "JWT"}}, {"cookie": "jwt"}]);
    let (backend, gateway) = world_with(|c| c.route("me", "customer_token_sources", places));
    let (alice, bob) = (gateway.login(ALICE), gateway.login(BOB));
    let both = |a: &str, b: &str| gateway.get("/me/x").customer(a).header("Cookie", &format!("jwt={b}"));
    both(&alice, &bob).send().expect(400, "400-02");
    both(&alice, "garbage").send().expect(400, "400-02");
    gateway.get("/me/x").header("Cookie", &format!("jwt={alice}; jwt={bob}")).send().expect(400, "400-02");
    backend.assert_untouched();
    both(&alice, &alice).send().ok();
}

#[test]
fn the_issuer_is_part_of_the_identifier() {
    let partner = TokenKey::generate();
    let (backend, gateway) = world_with(|c| c.trust("https://login.example.com", &partner));
    let claims = json!({"iss": "https://login.example.com", "aud": "legacy-api", "sub": ALICE.subject, "iat": now(), "exp": now() + 600});
    let token = partner.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"}), &claims);
    let theirs = identifier(&backend, &gateway, &token);
    assert_ne!(theirs, identifier(&backend, &gateway, &gateway.customer_token()));
    assert!(!theirs.contains(ALICE.subject));
    gateway.get("/me/x").customer(&token).header("X-Customer-Id", &theirs).send().ok();
    gateway.get("/me/x").customer(&token).header("X-Customer-Id", ALICE.subject).send().expect(403, "403-03");
}

#[test]
fn digests_of_a_body_that_was_changed_do_not_reach_the_backend() {
    let (backend, gateway) = world_with(|c| c.route("me", "identifier", json!({"body": "/customer/id"})));
    let token = gateway.customer_token();
    let digests = ["Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];
    let mut request = gateway.post("/me/x").customer(&token).json(r#"{"a": 1}"#);
    for name in digests {
        request = request.header(name, "x");
    }
    request.send().ok();
    let seen = backend.only();
    assert!(digests.iter().all(|name| seen.header(name).is_none()), "{:?}", seen.lines);
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
}
