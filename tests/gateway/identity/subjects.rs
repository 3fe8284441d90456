//! Subjects and identifiers per backend: which a caller may send, and by which operators revoke.

use crate::harness::keys::{TokenKey, decode, now};
use crate::harness::*;

fn subject_of(token: &str) -> String {
    decode(token).1["sub"].as_str().unwrap().to_owned()
}

fn body(id: &str) -> String {
    json!({"customer": {"id": id}}).to_string()
}

#[test]
fn where_the_subject_is_sent_the_caller_may_send_it_too() {
    let (backend, gateway) = world_with(|c| {
        c.route("me", "identifier", json!({"body": "/customer/id", "send": "subject"})).route(
            "profile",
            "identifier",
            json!({"header": "X-Account", "send": "subject"}),
        )
    });
    let token = gateway.customer_token();
    let own = subject_of(&token);
    for name in [ALICE.subject, &own] {
        gateway.post("/me/x").customer(&token).json(&body(name)).send().ok();
        assert_eq!(backend.last().body, body(ALICE.subject).into_bytes());
        gateway.profile().header("X-Account", name).send().ok();
        assert_eq!(backend.last().all("X-Account"), [ALICE.subject]);
    }
    backend.forget();
    let bobs = subject_of(&gateway.login(BOB));
    for name in [BOB.subject, &bobs, "", "account-10000", "ACCOUNT-100001"] {
        gateway.post("/me/x").customer(&token).json(&body(name)).send().expect(403, "403-03");
        gateway.profile().header("X-Account", name).send().expect(403, "403-03");
    }
    backend.assert_untouched();
}

#[test]
fn a_subject_that_a_header_cannot_carry_unchanged_is_sent_to_nobody() {
    let partner = TokenKey::generate();
    let (backend, gateway) = world_with(|c| {
        c.trust("https://login.example.com", &partner).route(
            "me",
            "identifier",
            json!({"header": "X-Account", "send": "subject"}),
        )
    });
    let token = |subject: &str| {
        let claims = json!({"iss": "https://login.example.com", "aud": "legacy-api", "sub": subject, "iat": now(), "exp": now() + 600});
        partner.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"}), &claims)
    };
    for subject in [" 4711", "4711 "] {
        gateway.get("/me/x").customer(&token(subject)).send().expect(500, "");
    }
    backend.assert_untouched();
    gateway.get("/me/x").customer(&token("47 11")).send().ok();
    assert_eq!(backend.last().header("X-Account"), Some("47 11"));
}

#[test]
fn where_the_identifier_is_sent_the_subject_is_still_nobody() {
    let (backend, gateway) = world_with(|c| c.route("me", "identifier", json!({"body": "/customer/id"})));
    gateway.post("/me/x").customer(&gateway.customer_token()).json(&body(ALICE.subject)).send().expect(403, "403-03");
    backend.assert_untouched();
}

/// A second backend, with identifiers of its own.
fn with_own_identifiers(config: Config) -> Config {
    let server = config.yaml["backends"]["legacy"].clone();
    config
        .set("/backends/second", server.clone())
        .set("/backends/second/pairwise", json!(true))
        .set("/backends/third", server)
        .set("/backends/third/pairwise", json!(true))
        .route("me", "backend", json!("second"))
        .add_route(json!({"name": "inside", "path": "/inside/", "methods": ["POST"], "require": ["customer"],
                          "identifier": {"body": "/customer/id"}, "backend": "second"}))
        .add_route(json!({"name": "third", "path": "/third/", "methods": ["GET"], "require": ["customer"],
                          "identifier": {"header": "X-Customer-Id"}, "backend": "third"}))
}

#[test]
fn an_identifier_of_the_backends_own_may_come_back() {
    for mode in ["traceable", "one_way"] {
        let (backend, gateway) = world_with(|c| with_own_identifiers(c).set("/identifier/mode", json!(mode)));
        let (alice, bob) = (gateway.login(ALICE), gateway.login(BOB));
        let named = |path: &str, token: &str| {
            gateway.get(path).customer(token).send().ok();
            backend.last().header("X-Customer-Id").unwrap().to_owned()
        };
        let (own, bobs, thirds) = (named("/me/x", &alice), named("/me/x", &bob), named("/third/x", &alice));
        for name in [own.clone(), subject_of(&alice)] {
            gateway.get("/me/x").customer(&alice).header("X-Customer-Id", &name).send().ok();
            assert_eq!(backend.last().all("X-Customer-Id"), [own.as_str()]);
            gateway.post("/inside/x").customer(&alice).json(&body(&name)).send().ok();
            assert_eq!(backend.last().body, body(&own).into_bytes());
        }
        backend.forget();
        for name in [bobs, thirds, subject_of(&bob), ALICE.subject.to_owned()] {
            gateway.get("/me/x").customer(&alice).header("X-Customer-Id", &name).send().expect(403, "403-03");
            gateway.post("/inside/x").customer(&alice).json(&body(&name)).send().expect(403, "403-03");
        }
        backend.assert_untouched();
    }
}

#[test]
fn revoking_by_an_identifier_of_one_backend_revokes_the_customer() {
    let (backend, gateway) = world_with(with_own_identifiers);
    let (alice, bob) = (gateway.login(ALICE), gateway.login(BOB));
    gateway.get("/me/x").customer(&alice).send().ok();
    let own = backend.last().header("X-Customer-Id").unwrap().to_owned();
    let (code, out, err) = gateway.files.run(&["revoke", "customer", &own, "--config", "gateway.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&subject_of(&alice)) && out.contains("second"), "{out}");
    eventually("the token is refused", || gateway.get("/me/x").customer(&alice).send().status == 401);
    gateway.get("/me/x").customer(&bob).send().ok();
    let forged = format!("{}AAAA", &own[..own.len() - 4]);
    let (code, out, err) = gateway.files.run(&["revoke", "customer", &forged, "--config", "gateway.yaml"]);
    assert!(code != 0 && err.contains("not made with this identifier key"), "{out}{err}");
}

#[test]
fn sessions_are_found_by_an_identifier_of_one_backend() {
    let (backend, gateway) = world_with(|c| with_own_identifiers(c).cookies("cookie"));
    let log_in = |who: Account| {
        let answer = gateway.login_request(who.name, who.secret).send().ok();
        answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let alice = log_in(ALICE);
    log_in(BOB);
    gateway.get("/me/x").header("Cookie", &alice).send().ok();
    let own = backend.last().header("X-Customer-Id").unwrap().to_owned();
    let (code, out, err) =
        gateway.files.run(&["sessions", "list", "--customer", &own, "--json", "--config", "gateway.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap().as_array().unwrap().len(), 1, "{out}");
}

#[test]
fn where_identifiers_are_one_way_revoke_says_that_one_of_a_backend_ends_nothing() {
    let (_backend, gateway) = world_with(|c| with_own_identifiers(c).set("/identifier/mode", json!("one_way")));
    let alice = gateway.login(ALICE);
    let (code, out, err) = gateway.files.run(&["revoke", "customer", &subject_of(&alice), "--config", "gateway.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("pairwise") && out.contains("wicketgate id for"), "{out}");
    eventually("the token is refused", || gateway.get("/third/x").customer(&alice).send().status == 401);
}
