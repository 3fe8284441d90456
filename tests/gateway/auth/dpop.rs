//! Tokens that are bound to a key, and proofs that a caller has it (DPoP, RFC 9449).

use crate::harness::identity_provider::{IdentityProvider, token_with};
use crate::harness::keys::{TokenKey, base64url, decode, now, random};
use crate::harness::*;

const ISSUER: &str = "https://login.example.com";

/// What a proof says, before a test changes it.
pub(crate) struct Proof<'a> {
    key: &'a TokenKey,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl<'a> Proof<'a> {
    pub(crate) fn new(key: &'a TokenKey, method: &str, path: &str) -> Self {
        let jwk = key.jwk("any");
        let jwk = json!({"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"]});
        Self {
            key,
            header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}),
            claims: json!({
                "jti": base64url(&random::<16>()), "htm": method, "htu": format!("https://localhost{path}"), "iat": now(),
            }),
        }
    }

    pub(crate) fn with(mut self, token: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        self.claims["ath"] = base64url(digest.as_ref()).into();
        self
    }

    pub(crate) fn text(&self) -> String {
        self.key.sign(&self.header, &self.claims)
    }
}

fn asking(demand: &str) -> (Backend, Gateway) {
    world_with(|c| c.route("system", "dpop", json!(demand)))
}

fn token_request(gateway: &Gateway, proof: &str) -> Request {
    gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", proof)
}

/// A token that is bound to this key.
fn bound(gateway: &Gateway, key: &TokenKey) -> String {
    let proof = Proof::new(key, "POST", "/oauth/access_token").text();
    let answer = token_request(gateway, &proof).send().ok().json();
    assert_eq!(answer["token_type"], "DPoP");
    answer["access_token"].as_str().unwrap().to_owned()
}

fn call(gateway: &Gateway, token: &str) -> Request {
    gateway.get("/system/x?q=1").header("Authorization", &format!("DPoP {token}"))
}

/// The call is refused with this word; what the challenge says.
#[track_caller]
fn refused(gateway: &Gateway, request: &Request, word: &str) -> String {
    let answer = request.send().expect(401, "401-15");
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!(line["refusal"], word);
    answer.header("WWW-Authenticate").unwrap().to_owned()
}

#[test]
fn a_token_that_is_bound_to_a_key_is_good_with_a_proof_of_it() {
    let (backend, gateway) = asking("required");
    let key = TokenKey::generate();
    let token = bound(&gateway, &key);
    let thumbprint = decode(&token).1["cnf"]["jkt"].as_str().unwrap().to_owned();
    assert_eq!(thumbprint.len(), 43);
    // Twice: the second is answered from what is remembered of the token.
    for _ in 0..2 {
        let proof = Proof::new(&key, "GET", "/system/x").with(&token).text();
        call(&gateway, &token).header("DPoP", &proof).send().ok();
    }
    let got = format!("{:?}", backend.requests());
    assert!(!got.to_ascii_lowercase().contains("dpop") && !got.contains(&token), "{got}");
    let known = gateway
        .post("/oauth/introspect")
        .form(&format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret));
    let known = known.send().ok().json();
    assert_eq!((&known["token_type"], &known["cnf"]["jkt"]), (&json!("DPoP"), &json!(thumbprint)));
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert!(metadata["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
}

#[test]
fn a_challenge_asks_for_proofs_where_the_route_does() {
    let challenges = |demand: &str, token: Option<&str>| -> Vec<String> {
        let (_backend, gateway) = asking(demand);
        let mut request = gateway.get("/system/x");
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let answer = request.send();
        assert_eq!(answer.status, 401);
        answer.all("WWW-Authenticate").iter().map(ToString::to_string).collect()
    };
    const ALGORITHMS: &str = r#"algs="ES256 ES384 EdDSA PS256 RS256""#;
    let (missing, invalid) = (format!("DPoP {ALGORITHMS}"), format!(r#"DPoP error="invalid_token", {ALGORITHMS}"#));
    const INVALID: &str = r#"Bearer error="invalid_token""#;
    assert_eq!(challenges("required", None), std::slice::from_ref(&missing));
    for scheme in ["Bearer", "DPoP"] {
        assert_eq!(challenges("required", Some(&format!("{scheme} a.b.c"))), std::slice::from_ref(&invalid));
    }
    assert_eq!(challenges("optional", None), ["Bearer".to_owned(), missing]);
    assert_eq!(challenges("optional", Some("Bearer a.b.c")), [INVALID.to_owned(), invalid]);
}

#[test]
fn every_claim_of_a_dpop_proof_is_checked() {
    let (backend, gateway) = asking("required");
    let (key, other) = (TokenKey::generate(), TokenKey::generate());
    let token = bound(&gateway, &key);
    let good = || Proof::new(&key, "GET", "/system/x").with(&token);
    type Change = Box<dyn Fn(Proof<'_>) -> String>;
    let header = |name: &'static str, value: Value| -> Change {
        Box::new(move |mut proof: Proof<'_>| {
            proof.header[name] = value.clone();
            proof.text()
        })
    };
    let claim = |name: &'static str, value: Value| -> Change {
        Box::new(move |mut proof: Proof<'_>| {
            proof.claims[name] = value.clone();
            proof.text()
        })
    };
    let private = {
        let mut jwk = good().header["jwk"].clone();
        jwk["d"] = json!("AAAA");
        jwk
    };
    let cases: Vec<(Change, &str)> = vec![
        (header("typ", json!("JWT")), "dpop_type"),
        (header("typ", Value::Null), "dpop_malformed"),
        (header("alg", json!("none")), "dpop_algorithm"),
        (header("alg", json!("HS256")), "dpop_algorithm"),
        (header("jwk", private), "dpop_malformed"),
        (header("jwk", json!({"kty": "oct", "k": "AAAA"})), "dpop_malformed"),
        (header("jwk", Value::Null), "dpop_malformed"),
        (header("x5c", json!([])), "dpop_malformed"),
        (header("crit", json!(["a"])), "dpop_malformed"),
        (claim("jti", json!("")), "dpop_malformed"),
        (claim("jti", json!(7)), "dpop_malformed"),
        (claim("iat", json!("now")), "dpop_malformed"),
        (claim("iat", json!(now() - 95)), "dpop_time"),
        (claim("iat", json!(now() + 40)), "dpop_time"),
        (claim("htm", json!("POST")), "dpop_method"),
        (claim("htm", json!("get")), "dpop_method"),
        (claim("htu", json!("https://localhost/system/y")), "dpop_target"),
        (claim("htu", json!("http://localhost/system/x")), "dpop_target"),
        (claim("htu", json!("https://localhost:8443/system/x")), "dpop_target"),
        (claim("htu", json!("https://other.test/system/x")), "dpop_target"),
        (claim("htu", json!("/system/x")), "dpop_target"),
        (claim("ath", json!(base64url(&[0; 32]))), "dpop_token"),
        (claim("ath", json!("x")), "dpop_token"),
        (
            Box::new(|mut proof| {
                proof.claims.as_object_mut().unwrap().remove("ath");
                proof.text()
            }),
            "dpop_token",
        ),
        (
            Box::new(|proof| {
                let text = proof.text();
                format!("{}AAAA", &text[..text.len() - 4])
            }),
            "dpop_signature",
        ),
        (Box::new(|_| "not a proof".to_owned()), "dpop_malformed"),
    ];
    for (change, word) in &cases {
        let challenge = refused(&gateway, &call(&gateway, &token).header("DPoP", &change(good())), word);
        assert!(challenge.starts_with(r#"DPoP error="invalid_dpop_proof", algs="ES256 "#), "{challenge}");
    }
    let foreign = Proof { key: &other, ..good() }.text();
    refused(&gateway, &call(&gateway, &token).header("DPoP", &foreign), "dpop_signature");
    let of_other = Proof::new(&other, "GET", "/system/x").with(&token).text();
    refused(&gateway, &call(&gateway, &token).header("DPoP", &of_other), "dpop_key");
    refused(&gateway, &call(&gateway, &token), "dpop_missing");
    let two = call(&gateway, &token).header("DPoP", &good().text()).header("DPoP", &good().text());
    refused(&gateway, &two, "dpop_malformed");
    backend.assert_untouched();
    // Case of scheme and host, the usual port, query and fragment of the address do not matter.
    for target in
        ["HTTPS://LOCALHOST/system/x", "https://localhost:443/system/x?other=1#f", "https://localhost/system/%78"]
    {
        let proof = claim("htu", json!(target))(good());
        call(&gateway, &token).header("DPoP", &proof).send().ok();
    }
}

#[test]
fn a_dpop_proof_is_good_once() {
    let (backend, gateway) = asking("required");
    let key = TokenKey::generate();
    let token = bound(&gateway, &key);
    let proof = Proof::new(&key, "GET", "/system/x").with(&token).text();
    call(&gateway, &token).header("DPoP", &proof).send().ok();
    refused(&gateway, &call(&gateway, &token).header("DPoP", &proof), "dpop_used");
    assert_eq!(backend.requests().len(), 1);
    let again = Proof::new(&key, "POST", "/oauth/access_token").text();
    token_request(&gateway, &again).send().ok();
    let answer = token_request(&gateway, &again).send();
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_dpop_proof")));
}

#[test]
fn bound_and_unbound_tokens_are_not_taken_for_each_other() {
    let (backend, gateway) = world_with(|c| {
        c.route("system", "dpop", json!("optional")).add_route(json!({
            "name": "strict", "path": "/strict/", "methods": ["GET"], "require": ["client"], "dpop": "required", "backend": "legacy",
        })).add_route(json!({
            "name": "plain", "path": "/plain/", "methods": ["GET"], "require": ["client"], "backend": "legacy",
        }))
    });
    let key = TokenKey::generate();
    let (token, free) = (bound(&gateway, &key), gateway.client_token());
    let proof = |path: &str, token: &str| Proof::new(&key, "GET", path).with(token).text();
    for _ in 0..2 {
        let by_bearer = gateway.get("/system/x").bearer(&token).header("DPoP", &proof("/system/x", &token));
        assert!(refused(&gateway, &by_bearer, "dpop_scheme").starts_with(r#"DPoP error="invalid_token""#));
        refused(&gateway, &call(&gateway, &free).header("DPoP", &proof("/system/x", &free)), "dpop_unbound");
        refused(&gateway, &gateway.get("/strict/x").bearer(&free), "dpop_unbound");
        // A route that asks for no proof takes none.
        refused(&gateway, &gateway.get("/plain/x").bearer(&token), "dpop_scheme");
    }
    let scheme = gateway.get("/plain/x").header("Authorization", &format!("DPoP {token}"));
    scheme.header("DPoP", &proof("/plain/x", &token)).send().expect(401, "401-11");
    backend.assert_untouched();
    gateway.get("/system/x").bearer(&free).send().ok();
    gateway.get("/plain/x").bearer(&free).send().ok();
    call(&gateway, &token).header("DPoP", &proof("/system/x", &token)).send().ok();
}

#[test]
fn a_token_request_with_a_bad_proof_gets_no_token_and_one_without_gets_what_it_always_got() {
    let (_backend, gateway) = asking("optional");
    let key = TokenKey::generate();
    for proof in [
        Proof::new(&key, "GET", "/oauth/access_token"),
        Proof::new(&key, "POST", "/oauth/token"),
        Proof { header: json!({"typ": "dpop+jwt", "alg": "ES256"}), ..Proof::new(&key, "POST", "/oauth/access_token") },
    ] {
        let answer = token_request(&gateway, &proof.text()).send();
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_dpop_proof")));
    }
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
    assert!(answer.text().starts_with(r#"{"token_type":"Bearer","issued_at":""#), "{}", answer.text());
    let claims = decode(answer.json()["access_token"].as_str().unwrap()).1;
    assert!(claims.get("cnf").is_none());
}

#[test]
fn a_route_that_only_observes_lets_a_wrong_proof_through_and_says_so() {
    let (_backend, gateway) =
        world_with(|c| c.route("system", "dpop", json!("required")).route("system", "mode", json!("observe")));
    let key = TokenKey::generate();
    let token = bound(&gateway, &key);
    let proof = Proof::new(&key, "GET", "/system/x").with(&token).text();
    let words = [Value::Null, json!("dpop_used")].map(|word| {
        let answer = call(&gateway, &token).header("DPoP", &proof).send().ok();
        assert_eq!(
            gateway.access_line(answer.header("X-Request-Id").unwrap()).get("observed").cloned().unwrap_or_default(),
            word
        );
        word
    });
    assert_eq!(words.len(), 2);
}

/// A route on which customers of this issuer show that they have the keys of their tokens.
fn customers_of(provider: &IdentityProvider, place: &str) -> (Backend, Gateway) {
    world_with(|c| {
        c.set(
            "/trusted_issuers",
            json!([{"issuer": ISSUER, "jwks": provider.jwks_url(), "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
        )
        .route("me", "dpop", json!("optional"))
        .route("me", "customer_token_sources", json!([serde_json::from_str::<Value>(place).unwrap()]))
    })
}

/// What `cnf` says of a token that is bound to this key.
fn confirmation(key: &TokenKey) -> Value {
    let jwk = key.jwk("any");
    let members = format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.as_bytes());
    json!({"jkt": base64url(digest.as_ref())})
}

#[test]
fn a_customers_token_of_another_issuer_that_is_bound_to_a_key_is_good_with_a_proof_of_it_only() {
    let (signer, own, other) = (TokenKey::generate(), TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[signer.jwk("one")]);
    let (backend, gateway) = customers_of(&provider, r#"{"bearer": true}"#);
    let bound = token_with(&signer, "one", ISSUER, "ann", |claims| claims["cnf"] = confirmation(&own));
    let proof = |key: &TokenKey, token: &str| Proof::new(key, "GET", "/me/x").with(token).text();
    let by = |scheme: &str, token: &str| gateway.get("/me/x").header("Authorization", &format!("{scheme} {token}"));
    // Twice: the second is answered from what is remembered of the token.
    for _ in 0..2 {
        by("DPoP", &bound).header("DPoP", &proof(&own, &bound)).send().ok();
        backend.forget();
        let free = token_with(&signer, "one", ISSUER, "ann", |_| {});
        for wrong in [
            by("Bearer", &bound),
            by("DPoP", &bound),
            by("DPoP", &bound).header("DPoP", &proof(&other, &bound)),
            by("DPoP", &bound).header("DPoP", &proof(&own, &free)),
            by("DPoP", &bound).header("DPoP", &Proof::new(&own, "GET", "/me/x").text()),
            by("DPoP", &bound).header("DPoP", &Proof::new(&own, "GET", "/me/y").with(&bound).text()),
            by("DPoP", &free).header("DPoP", &proof(&own, &free)),
        ] {
            let answer = wrong.send().expect(401, "401-03");
            let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
            assert_eq!(line["refusal"], "customer_token_binding");
        }
        backend.assert_untouched();
        by("Bearer", &free).send().ok();
    }
}

#[test]
fn a_route_without_proofs_takes_no_customers_token_that_is_bound() {
    let (signer, own) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[signer.jwk("one")]);
    let (backend, gateway) = world_with(|c| {
        c.set(
            "/trusted_issuers",
            json!([{"issuer": ISSUER, "jwks": provider.jwks_url(), "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
        )
    });
    let thumbprint = confirmation(&own)["jkt"].clone();
    for cnf in [
        json!({"jkt": thumbprint}),
        json!({"x5t#S256": thumbprint}),
        json!({"jkt": thumbprint, "x5t#S256": thumbprint}),
        json!({"kid": "one"}),
        json!({}),
        json!(null),
        json!("key"),
    ] {
        let bound = token_with(&signer, "one", ISSUER, "ann", |claims| claims["cnf"] = cnf.clone());
        let proof = Proof::new(&own, "GET", "/me/x").with(&bound).text();
        let answer = gateway.get("/me/x").customer(&bound).header("DPoP", &proof).send().expect(401, "401-03");
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "customer_token_binding", "{cnf}");
    }
    backend.assert_untouched();
    gateway.get("/me/x").customer(&token_with(&signer, "one", ISSUER, "ann", |_| {})).send().ok();
}
