//! `routes[].require`: client token, customer token and API key, and the status code of each fault.

use crate::harness::config::{FREE_API_KEY, NARROW_API_KEY, OTHER_API_KEY};
use crate::harness::keys;
use crate::harness::*;

#[test]
fn the_documented_call_with_an_empty_body_is_forwarded() {
    let (backend, gateway) = world();
    gateway.profile().send().ok();
    gateway.profile().body("").send().ok();
    let seen = backend.requests();
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/account/getprofile"));
        assert_eq!(request.header("Content-Type"), Some("application/json"));
        assert!(request.complete && request.body.is_empty());
    }
}

#[test]
fn a_route_requires_exactly_the_credentials_that_it_names() {
    let (_backend, gateway) = world();
    gateway.get("/public/x").send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
}

#[test]
fn without_any_credential_401_10_and_the_backend_sees_nothing() {
    let (backend, gateway) = world();
    for target in ["/account/getprofile", "/me/x", "/system/x"] {
        let answer = gateway.post(target).send().expect(401, "401-10");
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
    }
    backend.assert_untouched();
}

#[test]
fn each_missing_credential_has_its_own_code() {
    let (backend, gateway) = world();
    let all = gateway.profile();
    all.clone().drop_header("api-key").send().expect(403, "403-01");
    all.clone().drop_header("Authorization").send().expect(401, "401-11");
    all.clone().drop_header("customer-auth").send().expect(401, "401-01");
    backend.assert_untouched();
}

#[test]
fn names_and_schemes_are_matched_without_regard_to_case() {
    let (_backend, gateway) = world();
    let (client, customer) = (gateway.client_token(), gateway.customer_token());
    gateway
        .post("/account/x")
        .header("AUTHORIZATION", &format!("bearer {client}"))
        .header("Customer-Auth", &format!("jwt {customer}"))
        .header("Api-Key", API_KEY)
        .send()
        .ok();
}

#[test]
fn a_repeated_credential_header_is_400_02() {
    let (backend, gateway) = world();
    let all = gateway.profile();
    for name in ["Authorization", "customer-auth", "api-key"] {
        let value = all.lines.iter().find(|(n, _)| n == name).unwrap().1.clone();
        all.clone().header(name, &value).send().expect(400, "400-02");
        all.clone().header(&name.to_uppercase(), "Bearer x").send().expect(400, "400-02");
    }
    backend.assert_untouched();
}

#[test]
fn a_bare_jwt_is_malformed_unless_configured() {
    let (_backend, gateway) = world();
    let token = gateway.customer_token();
    gateway.get("/me/x").header("customer-auth", &token).send().expect(401, "401-03");
    let bare = json!([{"header": {"name": "customer-auth"}}]);
    let (_backend, gateway) = world_with(|c| c.route("me", "customer_token_sources", bare));
    gateway.get("/me/x").header("customer-auth", &gateway.customer_token()).send().ok();
}

#[test]
fn api_keys_that_do_not_fit_are_403() {
    let (backend, gateway) = world();
    let all = gateway.profile();
    for key in ["unknown", "", OTHER_API_KEY, NARROW_API_KEY, &API_KEY[..API_KEY.len() - 1], &format!("{API_KEY}x")] {
        let answer = all.clone().replace("api-key", key).send();
        assert_eq!((answer.status, answer.code().as_str()), (403, "403-01"), "{key:?}");
    }
    backend.assert_untouched();
    all.clone().replace("api-key", FREE_API_KEY).send().ok();
    gateway.get("/key/x").api_key(NARROW_API_KEY).send().ok();
    gateway.get("/key/x").send().expect(403, "403-01");
}

/// Each token with each key: only those that belong together pass.
#[test]
fn a_token_and_an_api_key_of_different_clients_are_refused() {
    let (backend, gateway) = world();
    let (good, other) = (gateway.client_token(), gateway.token(OTHER_CLIENT));
    let mut seen = Vec::new();
    for token in [Some(good.as_str()), Some(other.as_str()), None] {
        for key in [Some(API_KEY), Some(OTHER_API_KEY), None] {
            let mut request = gateway.profile().drop_header("Authorization").drop_header("api-key");
            request = token.into_iter().fold(request, Request::bearer);
            request = key.into_iter().fold(request, Request::api_key);
            seen.push(request.send().status);
        }
    }
    // The second client has a key of its own, and not the scope.
    assert_eq!(seen, [200, 403, 403, 403, 403, 403, 401, 401, 403]);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_bad_client_token_is_401_with_its_own_code() {
    let (_backend, gateway) = world();
    let (header, mut claims) = keys::decode(&gateway.client_token());
    claims["exp"] = json!(keys::now() - 3600);
    claims["iat"] = json!(keys::now() - 7200);
    let expired = gateway.signing_key.sign(&header, &claims);
    for (token, code) in [(expired.as_str(), "401-12"), ("garbage", "401-11"), ("a.b.c", "401-11")] {
        let answer = gateway.profile().replace("Authorization", &format!("Bearer {token}")).send().expect(401, code);
        let challenge = answer.header("WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("Bearer") && challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    let answer = gateway.profile().drop_header("Authorization").send().expect(401, "401-11");
    assert!(!answer.header("WWW-Authenticate").unwrap().contains("error"));
}

#[test]
fn a_faulty_integration_never_looks_like_an_expired_login() {
    let (_backend, gateway) = world();
    let all = gateway.profile().replace("customer-auth", "JWT garbage");
    all.clone().send().expect(401, "401-03");
    all.clone().replace("api-key", "unknown").send().expect(403, "403-01");
    all.replace("Authorization", "Bearer garbage").send().expect(401, "401-11");
}

#[test]
fn customer_and_client_tokens_are_not_exchangeable() {
    let (backend, gateway) = world();
    let (client, customer) = (gateway.client_token(), gateway.customer_token());
    let all = gateway.profile();
    all.clone().replace("Authorization", &format!("Bearer {customer}")).send().expect(401, "401-11");
    all.clone().replace("customer-auth", &format!("JWT {client}")).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&client).send().expect(401, "401-03");
    gateway.get("/system/x").bearer(&customer).send().expect(401, "401-11");
    backend.assert_untouched();
}

#[test]
fn a_client_without_the_scope_is_403_and_told_which() {
    let (backend, gateway) = world();
    let token = gateway.token(OTHER_CLIENT);
    let all = gateway.profile().replace("Authorization", &format!("Bearer {token}")).replace("api-key", FREE_API_KEY);
    let lacking = all.clone().send().expect(403, "403-02");
    let challenge = lacking.header("WWW-Authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer") && challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    let bad = all.replace("Authorization", "Bearer bad").send().expect(401, "401-11");
    assert!(bad.header("WWW-Authenticate").unwrap().contains("error=\"invalid_token\""));
    backend.assert_untouched();
    gateway.get("/system/x").bearer(&token).send().ok();
}

#[test]
fn a_request_without_a_route_is_404_and_no_backend_is_asked() {
    let (backend, gateway) = world();
    for target in
        ["/", "/account", "/accounts/x", "/ACCOUNT/x", "/metrics", "/livez", "/readyz", "/.well-known/x", "/publi"]
    {
        let answer = gateway.get(target).send();
        assert_eq!((answer.status, answer.code().as_str()), (404, "404-01"), "{target}");
    }
    backend.assert_untouched();
}

#[test]
fn methods_that_are_not_listed_are_405() {
    let (backend, gateway) = world();
    let answer = gateway.get("/account/getprofile").send().expect(405, "405-01");
    assert_eq!(answer.header("Allow"), Some("POST"));
    for method in ["PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = gateway.request(method, "/public/x").send();
        assert!(matches!(answer.status, 405 | 501), "{method}: {}", answer.status);
    }
    backend.assert_untouched();
}

#[test]
fn errors_are_json_with_a_code_and_nothing_else() {
    let (_backend, gateway) = world();
    for target in ["/nowhere", "/me/x", "/key/x", "/public/%00"] {
        let answer = gateway.get(target).send();
        assert!(answer.header("Content-Type").unwrap().starts_with("application/json"));
        let body = answer.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        let error = body["error"].as_object().unwrap();
        assert!(error.keys().all(|k| ["requestId", "message", "code", "target"].contains(&k.as_str())), "{body}");
        let code = error["code"].as_str().unwrap();
        assert!(code.starts_with(&format!("{}-", answer.status)) && code.len() == 6, "{code}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_content_type_that_the_route_does_not_take_is_415() {
    let (backend, gateway) = world_with(|c| c.route("public", "content_types", json!(["application/json"])));
    gateway.post("/public/x").form("a=b").send().expect(415, "415-01");
    backend.assert_untouched();
    gateway.post("/public/x").json("{}").send().ok();
    gateway.post("/public/x").header("Content-Type", "application/json; charset=utf-8").body("{}").send().ok();
    gateway.post("/public/x").send().ok();
}

#[test]
fn routes_can_be_told_apart_by_host() {
    let backend = Backend::start();
    let other = json!({"name": "v2", "hosts": ["localhost"], "path": "/v/", "methods": ["GET"], "public": true, "backend": "legacy"});
    let gateway = Gateway::start(&Config::new(&backend).add_route(other));
    gateway.get("/v/x").send().ok();
    gateway.get("/v/x").replace("Host", "localhost:8443").send().ok();
    let answer = gateway.get("/v/x").replace("Host", "evil.test").send();
    assert!(matches!(answer.status, 404 | 421), "{}", answer.text());
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn an_exact_path_matches_only_itself_and_the_longest_prefix_wins() {
    let exact = json!({"name": "exact", "path": {"exact": "/public/deep"}, "methods": ["GET"], "require": ["customer"], "backend": "legacy"});
    let (_backend, gateway) = world_with(|c| c.add_route(exact));
    gateway.get("/public/deep").send().expect(401, "401-10");
    gateway.get("/public/deep?x=1").send().expect(401, "401-10");
    gateway.get("/public/deeper").send().ok();
    gateway.get("/public/deep/er").send().ok();
}
