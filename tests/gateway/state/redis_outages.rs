//! Calls during a Redis outage: the table of docs/operations.md.

use std::time::{Duration, Instant};

use crate::harness::customer::{by_cookie, member, session_cookie};
use crate::harness::gateway::form_encode;
use crate::harness::keys::{TokenKey, base64url, now, random};
use crate::harness::*;

struct World {
    network: NetworkLink,
    gateway: Gateway,
    backend: Backend,
    _redis: RedisServer,
}

fn world(change: impl FnOnce(Config) -> Config) -> World {
    let redis = RedisServer::start();
    let network = NetworkLink::to(redis.port, Duration::ZERO);
    let backend = Backend::start();
    let config = change(Config::new(&backend).set("/state/redis", json!({"url": network.url()})));
    let gateway = Gateway::start(&config);
    gateway.is_ready();
    World { network, gateway, backend, _redis: redis }
}

impl World {
    /// Nothing reaches the store any more, and the gateway has seen it.
    fn part(&self) {
        self.network.partition();
        eventually("it is seen", || self.gateway.metric("wicketgate_state_up", &[]) == 0.0);
    }

    fn heal(&self) {
        self.network.heal();
        eventually("the store is there again", || self.gateway.metric("wicketgate_state_up", &[]) == 1.0);
    }
}

/// A refusal that tells the caller to come again.
#[track_caller]
fn away(answer: Response) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.retry_after() >= 1);
}

#[test]
fn logins_by_jwt_and_client_tokens_go_on_while_the_store_is_away() {
    let world = world(|c| c.set("/login/attempts", json!({"free": 2, "delay": "5m"})).without("/login/limits"));
    let gateway = &world.gateway;
    let log_in_and_call = || {
        let jwt = member(&gateway.login_request(ALICE.name, ALICE.secret).send().ok(), "JWT");
        gateway.get("/me/x").customer(&jwt).send().ok();
        let token = member(&gateway.token_request(CLIENT.name, CLIENT.secret).send().ok(), "access_token");
        gateway.get("/system/x").bearer(&token).send().ok();
    };
    log_in_and_call();
    world.network.partition();
    // Also before anybody has noticed.
    log_in_and_call();
    world.part();
    (0..5).for_each(|_| log_in_and_call());
    // Guesses are counted all the same.
    for _ in 0..3 {
        gateway.login_request(BOB.name, "wrong").send().expect(401, "401-04");
    }
    gateway.login_request(BOB.name, BOB.secret).send().expect(429, "429-02");
    world.network.cut();
    log_in_and_call();
    world.heal();
    log_in_and_call();
}

#[test]
fn one_time_tokens_and_refresh_tokens_need_the_store_and_wait_for_it() {
    let key = TokenKey::generate();
    let world = world(|c| {
        let mut c = c
            .set("/login/refresh", json!({"lifetime": "1h", "grace": "10s"}))
            .without("/login/limits")
            .file("certs/signer.json", &json!({"keys": [key.jwk("one")]}).to_string());
        let client = json!({"id": "signer", "jwks": {"file": "certs/signer.json"}, "scopes": ["profile"]});
        c.yaml["clients"].as_array_mut().unwrap().push(client);
        c
    });
    let gateway = &world.gateway;
    let assertion = || {
        let claims = json!({
            "iss": "signer", "sub": "signer", "aud": "https://gateway.test", "iat": now(), "exp": now() + 60,
            "jti": base64url(&random::<12>()),
        });
        let signed = key.sign(&json!({"alg": "ES256", "kid": "one", "typ": "JWT"}), &claims);
        let kind = form_encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let form = format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={signed}");
        gateway.post("/oauth/access_token").form(&form).send()
    };
    let proved = || {
        let jwk = key.jwk("any");
        let jwk = json!({"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"]});
        let claims = json!({
            "jti": base64url(&random::<16>()), "htm": "POST", "htu": "https://localhost/oauth/access_token", "iat": now(),
        });
        let proof = key.sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}), &claims);
        gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", &proof).send()
    };
    let refresh = |token: &str| {
        gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}")).send()
    };
    let first = member(&gateway.login_request(ALICE.name, ALICE.secret).send().ok(), "refresh_token");
    assertion().ok();
    proved().ok();
    world.part();
    away(assertion());
    away(proved());
    away(refresh(&first));
    away(gateway.login_request(ALICE.name, ALICE.secret).send());
    world.heal();
    assertion().ok();
    proved().ok();
    refresh(&first).ok();
}

#[test]
fn a_session_passes_from_the_beginning_of_the_outage_on_however_long_ago_the_store_was_asked_about_it() {
    let world = world(|c| c.cookies("both").set("/state/outage", json!({"sessions": "5s", "revocations": "10m"})));
    let gateway = &world.gateway;
    let log_in = |account: Account| session_cookie(&gateway.login_request(account.name, account.secret).send().ok());
    let (kept, gone) = (log_in(ALICE), log_in(BOB));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        by_cookie(gateway, &kept).send().ok();
        by_cookie(gateway, &gone).send().ok();
    }
    gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin").header("Cookie", &gone).send().expect(204, "");
    world.part();
    // From here on it asks, and gets no answer.
    eventually("it is sure of nothing", || gateway.metric("wicketgate_state_staleness_seconds", &[]) > 1.3);
    by_cookie(gateway, &kept).send().ok();
    assert_ne!(by_cookie(gateway, &gone).send().status, 200);
    // And not for longer.
    eventually("it is over", || by_cookie(gateway, &kept).send().status == 503);
    world.heal();
    eventually("it goes on", || by_cookie(gateway, &kept).send().status == 200);
    by_cookie(gateway, &gone).send().expect(401, "401-03");
    assert!(!world.backend.requests().is_empty());
}
