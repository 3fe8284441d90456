//! Audience, scopes and lifetime of a client's access token (RFC 8707, RFC 9068).

use crate::harness::gateway::form_encode;
use crate::harness::keys::decode;
use crate::harness::*;

const REPORTS: &str = "https://reports.example.com/v1";

/// The first client may also have tokens for reports, which a route of their own takes.
fn reporting(config: Config) -> Config {
    let route = json!({
        "name": "reports", "path": "/reports/", "methods": ["GET"], "require": ["client"], "audience": REPORTS,
        "backend": "legacy",
    });
    config.set("/clients/0/audiences", json!([REPORTS])).add_route(route)
}

fn ask(gateway: &Gateway, client: Account, more: &str) -> Response {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}{more}",
        client.name,
        form_encode(client.secret)
    );
    gateway.post("/oauth/access_token").form(&form).send()
}

fn token_for(gateway: &Gateway, resource: &str) -> String {
    let answer = ask(gateway, CLIENT, &format!("&resource={}", form_encode(resource))).ok();
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_good_on_routes_of_its_own_audience_only_also_where_it_was_verified_before() {
    let (backend, gateway) = world_with(reporting);
    let (usual, reports) = (gateway.token(CLIENT), token_for(&gateway, REPORTS));
    assert_eq!(decode(&usual).1["aud"], "legacy-api");
    assert_eq!(decode(&reports).1["aud"], REPORTS);
    let mut connection = gateway.connect();
    for _ in 0..3 {
        for (path, token, status) in [
            ("/system/x", &usual, 200),
            ("/reports/x", &usual, 401),
            ("/reports/x", &reports, 200),
            ("/system/x", &reports, 401),
        ] {
            let answer = gateway.get(path).bearer(token).send_on(&mut connection);
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            if status == 401 {
                assert_eq!(answer.code(), "401-11");
                let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
                assert_eq!(line["refusal"], "client_token_audience");
            }
        }
    }
    assert_eq!(backend.requests().len(), 6);
}

#[test]
fn rfc_8707_a_client_gets_a_token_for_one_resource_that_is_its_own() {
    let (_backend, gateway) = world_with(reporting);
    assert_eq!(decode(&token_for(&gateway, "legacy-api")).1["aud"], "legacy-api");
    let both = format!("&resource={0}&resource={0}", form_encode(REPORTS));
    let several = format!("&resource={}&resource=legacy-api", form_encode(REPORTS));
    let own = format!("&resource={}", form_encode(REPORTS));
    for (client, more) in [
        (CLIENT, "&resource=https%3A%2F%2Fother.example.com"),
        (CLIENT, "&resource=legacy"),
        (CLIENT, "&resource=LEGACY-API"),
        (CLIENT, &both),
        (CLIENT, &several),
        (OTHER_CLIENT, &own),
    ] {
        let answer = ask(&gateway, client, more).expect(400, "");
        assert_eq!(answer.json()["error"], "invalid_target", "{more}");
    }
    // An empty parameter is none, and one of which nothing is known is ignored.
    ask(&gateway, CLIENT, "&resource=&audience=https%3A%2F%2Fother.example.com").ok();
}

#[test]
fn a_client_that_may_no_longer_have_tokens_for_an_audience_has_none() {
    let backend = Backend::start();
    let config = reporting(Config::new(&backend));
    let gateway = Gateway::start(&config);
    let token = token_for(&gateway, REPORTS);
    gateway.get("/reports/x").bearer(&token).send().ok();
    let moved = config.without("/clients/0/audiences").set("/clients/1/audiences", json!([REPORTS]));
    gateway.reload(&moved, "reloaded");
    gateway.get("/reports/x").bearer(&token).send().expect(401, "401-11");
}

#[test]
fn introspection_tells_whom_a_token_is_for() {
    let (_backend, gateway) = world_with(reporting);
    for (token, audience) in [(token_for(&gateway, REPORTS), REPORTS), (gateway.token(CLIENT), "legacy-api")] {
        let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
        let known = gateway.post("/oauth/introspect").form(&form).send().ok().json();
        assert_eq!((&known["active"], known["aud"].as_str()), (&json!(true), Some(audience)));
    }
}

#[test]
fn tokens_are_limited_to_the_lifetime_scopes_and_audiences_of_their_client() {
    let (_backend, gateway) = world_with(|config| {
        reporting(config).set("/clients/0/lifetime", json!("15m")).set("/access_token/lifetime", json!("1h"))
    });
    for (client, lifetime) in [(CLIENT, 900), (OTHER_CLIENT, 3_600)] {
        let body = ask(&gateway, client, "").ok().json();
        let (_, claims) = decode(body["access_token"].as_str().unwrap());
        assert_eq!(body["expires_in"], lifetime.to_string());
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), lifetime);
    }
    let refused = |more: &str| ask(&gateway, CLIENT, more).expect(400, "").json()["error"].clone();
    assert_eq!(refused("&scope=profile%20admin"), "invalid_scope");
    assert_eq!(refused("&resource=https%3A%2F%2Fadmin.example.com"), "invalid_target");
    // What the caller says about the token is no matter.
    let body = ask(&gateway, CLIENT, "&exp=9999999999&lifetime=9999&aud=admin&sub=admin").ok().json();
    let (_, claims) = decode(body["access_token"].as_str().unwrap());
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!("legacy-api"), &json!(CLIENT.name)));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 900);
}
