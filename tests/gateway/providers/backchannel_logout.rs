//! OIDC back-channel logout.

use crate::harness::customer::{by_cookie, session_cookie};
use crate::harness::identity_provider::{IdentityProvider, token, token_with};
use crate::harness::keys::{TokenKey, hs256, now};
use crate::harness::*;

pub(super) const ISSUER: &str = "https://login.example.com";
const APPLICATION: &str = "web-app";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// An issuer that tells of logouts. Its customers are those of the gateway's own accounts.
fn told_by(config: Config, key: &TokenKey) -> Config {
    config
        .trust(ISSUER, key)
        .set("/trusted_issuers/0/logout", json!({"audiences": [APPLICATION]}))
        .set("/trusted_issuers/0/max_lifetime", json!("1h"))
        .set("/trusted_issuers/0/tenant", json!("https://gateway.test"))
}

/// A logout token as Keycloak sends it, with header and claims changed.
fn logout_token_with(key: &TokenKey, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = json!({"alg": "ES256", "typ": "logout+jwt", "kid": "partner-1"});
    let mut claims = json!({
        "iss": ISSUER, "aud": APPLICATION, "iat": now(), "exp": now() + 120, "jti": keys::base64url(&keys::random::<8>()),
        "events": {EVENT: {}},
    });
    change(&mut header, &mut claims);
    key.sign(&header, &claims)
}

fn of_session(key: &TokenKey, sid: &str, sub: Option<&str>) -> String {
    logout_token_with(key, |_, claims| {
        claims["sid"] = json!(sid);
        if let Some(sub) = sub {
            claims["sub"] = json!(sub);
        }
    })
}

fn of_customer(key: &TokenKey, sub: &str) -> String {
    logout_token_with(key, |_, claims| claims["sub"] = json!(sub))
}

fn tell(gateway: &Gateway, token: &str) -> Response {
    gateway.post("/oauth/backchannel_logout").form(&format!("logout_token={token}")).send()
}

/// Two gateways that share a Redis and all keys.
pub(super) fn replicas(redis: &RedisServer, change: impl FnOnce(Config) -> Config) -> [Gateway; 2] {
    let config = Config::new(&Backend::start()).set("/state/redis", json!({"url": redis.url()}));
    let config = change(config.file("certs/identifier.key", &keys::key_file()));
    let both = [Gateway::start(&config), Gateway::start(&config)];
    both.iter().for_each(Gateway::is_ready);
    both
}

#[track_caller]
fn told(gateway: &Gateway, token: &str) {
    let answer = tell(gateway, token);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
}

#[track_caller]
fn refused(answer: &Response, gateway: &Gateway, word: &str) {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")), "{word}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["refusal"], word);
}

fn in_session(key: &TokenKey, sub: &str, sid: &str) -> String {
    token_with(key, "partner-1", ISSUER, sub, |claims| claims["sid"] = json!(sid))
}

#[track_caller]
fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

#[test]
fn a_logout_by_sub_ends_tokens_own_sessions_and_refresh_tokens_of_the_customer_and_of_nobody_else() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c.cookies("both").set("/login/refresh", json!({})), &key));
    let alice = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let (cookie, jwt) = (session_cookie(&alice), alice.json()["JWT"].as_str().unwrap().to_owned());
    let form = format!("grant_type=refresh_token&refresh_token={}", alice.json()["refresh_token"].as_str().unwrap());
    let bob = gateway.login(BOB);
    let theirs = [in_session(&key, ALICE.subject, "s1"), token(&key, "partner-1", ISSUER, ALICE.subject)];
    let of_bob = token(&key, "partner-1", ISSUER, BOB.subject);
    for token in theirs.iter().chain([&jwt, &bob, &of_bob]) {
        assert_eq!(status(&gateway, token), 200);
    }
    by_cookie(&gateway, &cookie).send().ok();
    told(&gateway, &of_customer(&key, ALICE.subject));
    for token in theirs.iter().chain([&jwt]) {
        gateway.get("/me/x").customer(token).send().expect(401, "401-03");
    }
    by_cookie(&gateway, &cookie).send().expect(401, "401-03");
    assert_eq!(gateway.post("/oauth/access_token").form(&form).send().status, 400);
    assert_eq!((status(&gateway, &bob), status(&gateway, &of_bob)), (200, 200));
    // Whoever logs in again is in.
    assert_eq!(status(&gateway, &gateway.login(ALICE)), 200);
    assert_eq!(gateway.metric("wicketgate_provider_events_total", &[("kind", "logout"), ("outcome", "ok")]), 1.0);
}

#[test]
fn a_logout_by_sid_ends_that_session_alone_also_where_sub_stands_beside_it() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let own = gateway.customer_token();
    let of = |sid: &str| in_session(&key, ALICE.subject, sid);
    let (one, other, third) = (of("s1"), of("s2"), of("s3"));
    let unnamed = token(&key, "partner-1", ISSUER, ALICE.subject);
    told(&gateway, &of_session(&key, "s1", None));
    assert_eq!((status(&gateway, &one), status(&gateway, &other), status(&gateway, &unnamed)), (401, 200, 200));
    told(&gateway, &of_session(&key, "s2", Some(ALICE.subject)));
    assert_eq!((status(&gateway, &other), status(&gateway, &third), status(&gateway, &own)), (401, 200, 200));
    // A token that does not say of which session it is may be of that one.
    assert_eq!(status(&gateway, &unnamed), 401);
    assert_eq!(status(&gateway, &token(&key, "partner-1", ISSUER, BOB.subject)), 200);
}

#[test]
fn a_logout_told_to_one_replica_holds_at_the_other_and_after_a_restart() {
    let (key, redis) = (TokenKey::generate(), RedisServer::start());
    let [a, b] = replicas(&redis, |c| told_by(c, &key));
    let (a, b) = (&a, b);
    let (one, other) = (in_session(&key, "ann", "s1"), in_session(&key, "ben", "s2"));
    assert_eq!((status(&b, &one), status(&b, &other)), (200, 200));
    told(a, &of_session(&key, "s1", Some("ann")));
    eventually("the session has ended at the other", || status(&b, &one) == 401);
    told(a, &of_customer(&key, "ben"));
    eventually("the customer's logins have ended at the other", || status(&b, &other) == 401);
    // What one has taken the other does not take again.
    let again = of_customer(&key, "ben");
    told(a, &again);
    refused(&tell(&b, &again), &b, "security_event_used");
    let b = b.restart();
    b.is_ready();
    assert_eq!((status(&b, &one), status(&b, &other)), (401, 401));
}

#[test]
fn a_bad_logout_token_ends_nothing() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let ann = in_session(&key, "ann", "s1");
    let with = |change: &dyn Fn(&mut Value, &mut Value)| {
        logout_token_with(&key, |header, claims| {
            (claims["sub"], claims["sid"]) = (json!("ann"), json!("s1"));
            change(header, claims);
        })
    };
    let without = |name: &str| with(&|_, claims| drop(claims.as_object_mut().unwrap().remove(name)));
    let good = with(&|_, _| {});
    let (head, rest) = good.split_once('.').unwrap();
    let nobody = keys::base64url(br#"{"alg":"none","typ":"logout+jwt"}"#);
    let (_, claims) = keys::decode(&good);
    let bad = [
        ("security_event_signature", logout_token_with(&TokenKey::generate(), |_, it| it["sub"] = json!("ann"))),
        ("security_event_algorithm", format!("{nobody}.{}", rest)),
        ("security_event_malformed", format!("{head}.{}.", rest.split('.').next().unwrap())),
        (
            "security_event_algorithm",
            hs256(
                &json!({"alg": "HS256", "typ": "logout+jwt", "kid": "partner-1"}),
                &claims,
                key.public_pem.as_bytes(),
            ),
        ),
        ("security_event_issuer", with(&|_, it| it["iss"] = json!("https://evil.example"))),
        ("security_event_issuer", with(&|_, it| it["iss"] = json!("https://gateway.test"))),
        ("security_event_audience", with(&|_, it| it["aud"] = json!("legacy-api"))),
        ("security_event_audience", without("aud")),
        ("security_event_claim", without("iat")),
        ("security_event_claim", without("jti")),
        ("security_event_claim", without("events")),
        ("security_event_claim", with(&|_, it| it["events"] = json!({"https://other.example": {}}))),
        ("security_event_claim", with(&|_, it| it["events"] = json!({EVENT: true}))),
        ("security_event_claim", with(&|_, it| it["nonce"] = json!("n"))),
        ("security_event_expired", with(&|_, it| it["iat"] = json!(now() - 400))),
        ("security_event_expired", with(&|_, it| it["exp"] = json!(now() - 100))),
        ("security_event_not_yet_valid", with(&|_, it| it["iat"] = json!(now() + 100))),
        ("security_event_type", with(&|header, _| header["typ"] = json!("at+jwt"))),
        ("security_event_type", with(&|header, _| header["typ"] = json!("secevent+jwt"))),
        ("security_event_header_not_allowed", with(&|header, _| header["crit"] = json!(["exp"]))),
        ("security_event_unknown_key", with(&|header, _| header["kid"] = json!("partner-2"))),
        ("security_event_subject", logout_token_with(&key, |_, _| {})),
        ("security_event_subject", with(&|_, it| it["sid"] = json!(""))),
        ("security_event_claim", token_with(&key, "partner-1", ISSUER, "ann", |it| it["aud"] = json!(APPLICATION))),
    ];
    for (word, token) in bad {
        refused(&tell(&gateway, &token), &gateway, word);
    }
    assert_eq!(status(&gateway, &ann), 200);
    let post = |body: &str| gateway.post("/oauth/backchannel_logout").form(body).send();
    for body in ["", "logout_token=", "token=a.b.c"] {
        assert_eq!(
            (post(body).status, post(body).json()["error"].as_str()),
            (400, Some("invalid_request")),
            "{body:?}"
        );
    }
    let twice = post(&format!("logout_token={good}&logout_token={good}"));
    assert_eq!(twice.status, 400);
    assert_eq!(gateway.get("/oauth/backchannel_logout").send().status, 405);
    assert_eq!(status(&gateway, &ann), 200);
    // All that was missing is the right one.
    told(&gateway, &good);
    assert_eq!(status(&gateway, &ann), 401);
}

#[test]
fn what_providers_send_is_taken() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    type Shape = fn(&mut Value, &mut Value);
    let shapes: [Shape; 5] = [
        |header, _| header["typ"] = json!("JWT"),
        |header, _| drop(header.as_object_mut().unwrap().remove("typ")),
        |_, claims| claims["aud"] = json!(["other", APPLICATION]),
        |_, claims| drop(claims.as_object_mut().unwrap().remove("exp")),
        |_, claims| claims["events"] = json!({EVENT: {"revoke_offline_access": true}, "https://other.example": {}}),
    ];
    for (number, shape) in shapes.into_iter().enumerate() {
        let subject = format!("customer-{number}");
        let login = token(&key, "partner-1", ISSUER, &subject);
        assert_eq!(status(&gateway, &login), 200);
        told(
            &gateway,
            &logout_token_with(&key, |header, claims| {
                claims["sub"] = json!(subject);
                shape(header, claims);
            }),
        );
        assert_eq!(status(&gateway, &login), 401, "{number}");
    }
}

#[test]
fn a_logout_token_that_comes_again_ends_nothing_that_began_since() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| told_by(c, &key));
    let (first, logout) = (gateway.login(ALICE), of_customer(&key, ALICE.subject));
    told(&gateway, &logout);
    assert_eq!(status(&gateway, &first), 401);
    let second = gateway.login(ALICE);
    refused(&tell(&gateway, &logout), &gateway, "security_event_used");
    assert_eq!(status(&gateway, &second), 200);
    // Another one of the same second does.
    told(&gateway, &of_customer(&key, ALICE.subject));
    assert_eq!(status(&gateway, &second), 401);
}

#[test]
fn a_logout_token_is_no_credential_and_no_credential_is_one() {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|c| told_by(c, &key));
    let logout = logout_token_with(&key, |header, claims| {
        header["typ"] = json!("logout+jwt");
        (claims["sub"], claims["aud"]) = (json!("ann"), json!(["legacy-api", APPLICATION]));
    });
    assert_eq!(status(&gateway, &logout), 401);
    backend.assert_untouched();
    let login =
        token_with(&key, "partner-1", ISSUER, "ann", |claims| claims["aud"] = json!(["legacy-api", APPLICATION]));
    assert_eq!(status(&gateway, &login), 200);
    refused(&tell(&gateway, &login), &gateway, "security_event_claim");
    assert_eq!(status(&gateway, &login), 200);
}

#[test]
fn without_keys_or_a_store_the_issuer_is_told_to_come_again() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start(&[]);
    let address = provider.die();
    let (_backend, gateway) = world_with(|c| {
        told_by(c, &key)
            .set("/trusted_issuers/0/jwks", json!(format!("http://{address}/jwks")))
            .set("/trusted_issuers/0/refresh", json!({"interval": "1s", "cooldown": "100ms", "timeout": "2s"}))
    });
    let logout = of_customer(&key, "ann");
    let answer = tell(&gateway, &logout);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("temporarily_unavailable")));
    assert!(answer.retry_after() >= 1);
    let _provider = IdentityProvider::revive(address, &[key.jwk("partner-1")]);
    let login = token(&key, "partner-1", ISSUER, "ann");
    eventually("its keys are there", || status(&gateway, &login) == 200);
    told(&gateway, &logout);
    assert_eq!(status(&gateway, &login), 401);

    let mut redis = RedisServer::start();
    let (_backend, gateway) = world_with(|c| told_by(c, &key).set("/state/redis", json!({"url": redis.url()})));
    gateway.is_ready();
    redis.kill();
    let logout = of_customer(&key, "ann");
    eventually("it is seen", || gateway.metric("wicketgate_state_up", &[]) == 0.0);
    assert_eq!(tell(&gateway, &logout).status, 503);
    redis.restart();
    eventually("the store is there again", || gateway.metric("wicketgate_state_up", &[]) == 1.0);
    told(&gateway, &logout);
}

#[test]
fn a_rotated_key_is_fetched_for_a_logout_as_for_a_login() {
    let (key, next) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = world_with(|c| {
        let refresh = json!({"interval": "10m", "cooldown": "100ms", "timeout": "2s"});
        told_by(c, &key)
            .set("/trusted_issuers/0/jwks", json!(provider.jwks_url()))
            .set("/trusted_issuers/0/refresh", refresh)
    });
    let login = token(&key, "one", ISSUER, "ann");
    eventually("its keys are there", || status(&gateway, &login) == 200);
    provider.publish_keys(&[key.jwk("one"), next.jwk("two")]);
    let logout =
        || logout_token_with(&next, |header, claims| (header["kid"], claims["sub"]) = (json!("two"), json!("ann")));
    eventually("the new key is known", || tell(&gateway, &logout()).status == 200);
    assert_eq!(status(&gateway, &login), 401);
}

#[test]
fn where_no_issuer_tells_of_logouts_nobody_answers() {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|c| c.trust(ISSUER, &key));
    tell(&gateway, &of_customer(&key, "ann")).expect(404, "404-01");
    gateway.post("/oauth/security_events").send().expect(404, "404-01");
    backend.assert_untouched();
    // Of several issuers only those that are configured so.
    let (_backend, gateway) = world_with(|c| {
        let mut issuers = told_by(c.clone(), &key).yaml["trusted_issuers"].clone();
        let mut silent = issuers[0].clone();
        silent.as_object_mut().unwrap().remove("logout");
        silent["issuer"] = json!("https://silent.example.com");
        issuers.as_array_mut().unwrap().push(silent);
        told_by(c, &key).set("/trusted_issuers", issuers)
    });
    let silent = logout_token_with(&key, |_, claims| {
        (claims["iss"], claims["sub"]) = (json!("https://silent.example.com"), json!("ann"));
    });
    refused(&tell(&gateway, &silent), &gateway, "security_event_issuer");
}

#[test]
fn check_says_what_a_logout_by_the_provider_needs() {
    let key = TokenKey::generate();
    let config = || told_by(Config::new(&Backend::start()), &key);
    let complaint = |config: Config| gateway::Workspace::new(&config).fails(&["check"]);
    let said = complaint(config().set("/trusted_issuers/0/logout/audiences", json!([])));
    assert!(said.contains("trusted_issuers[0].logout.audiences") && said.contains("client id"), "{said}");
    let said = complaint(config().set("/routes/1/path", json!("/oauth/backchannel_logout")));
    assert!(said.contains("answered by the gateway itself"), "{said}");
    gateway::Workspace::new(&config()).succeeds(&["check"]);
    let loose = config().without("/trusted_issuers/0/max_lifetime").set("/trusted_issuers/0/subject", json!("oid"));
    let (code, _, warned) = gateway::Workspace::new(&loose).run(&["check"]);
    assert!(code == 0 && warned.contains("`max_lifetime`") && warned.contains("`subject: sub`"), "{warned}");
    // What cannot be done is not said to be done.
    let gateway = Gateway::start(&config().set("/trusted_issuers/0/subject", json!("oid")));
    refused(&tell(&gateway, &of_customer(&key, "ann")), &gateway, "security_event_subject");
    let login = token_with(&key, "partner-1", ISSUER, "ann", |claims| {
        (claims["oid"], claims["sid"]) = (json!("o-1"), json!("s1"));
    });
    assert_eq!(status(&gateway, &login), 200);
    told(&gateway, &of_session(&key, "s1", Some("ann")));
    assert_eq!(status(&gateway, &login), 401);
}

/// The first example below a heading of docs/identity-providers.md.
fn example(heading: &str) -> Value {
    const PAGE: &str = include_str!("../../../docs/identity-providers.md");
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, yaml) = section.split_once("```yaml\n").unwrap();
    serde_saphyr::from_str(yaml.split("```").next().unwrap()).unwrap()
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    for heading in [
        "A single-page app on another origin",
        "Agents that find their way in",
        "Logout told by the provider",
        "Security events",
    ] {
        let mut config = Config::new(&Backend::start()).file("transmitter.key", "transmitter-secret-5Hq2");
        for (section, value) in example(heading).as_object().unwrap() {
            match value {
                Value::Array(items) if section == "routes" => config = config.add_route(items[0].clone()),
                value => config = config.set(&format!("/{section}"), value.clone()),
            }
        }
        gateway::Workspace::new(&config).succeeds(&["check", "--files-only"]);
    }
}

#[test]
fn an_exchanged_token_says_nothing_of_what_ends_it_and_ends_with_it() {
    let (key, redis) = (TokenKey::generate(), RedisServer::start());
    let [a, b] = replicas(&redis, |c| told_by(c, &key));
    for (number, what) in ["sub", "sid", "jti"].into_iter().enumerate() {
        for has_sid in [false, true] {
            let [sub, sid, jti] = ["customer", "session", "id"].map(|kind| format!("{kind}-{number}-{has_sid}"));
            let theirs = token_with(&key, "partner-1", ISSUER, &sub, |claims| {
                claims["jti"] = json!(jti);
                if has_sid {
                    claims["sid"] = json!(sid);
                }
            });
            let asked = a.post("/oauth/access_token").form(&format!(
                "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id={}&client_secret={}\
                 &subject_token={theirs}&subject_token_type=urn:ietf:params:oauth:token-type:jwt",
                CLIENT.name, CLIENT.secret
            ));
            let ours = asked.send().ok().json()["access_token"].as_str().unwrap().to_owned();
            let claims = keys::decode(&ours).1;
            let shown = claims.to_string();
            for secret in [&*keys::sha256_hex(&sub), &*sub, &*sid, &*jti, "sha256"] {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
            assert!(claims["wg_ends_with"].is_string(), "{shown}");
            // Any replica with the identifier key can read it.
            assert_eq!((status(&a, &ours), status(&b, &ours)), (200, 200), "{what}");
            match what {
                "sub" => told(&a, &of_customer(&key, &sub)),
                "sid" => told(&a, &of_session(&key, &sid, Some(&sub))),
                _ => drop(a.post("/auth/logout").customer(&theirs).send().expect(204, "")),
            }
            eventually(what, || status(&a, &ours) == 401 && status(&b, &ours) == 401);
        }
    }
}
