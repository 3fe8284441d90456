//! Token exchange (RFC 8693): a client hands in a customer's token for a short one of its own.

use super::super::auth::dpop::Proof;
use super::revocation_and_introspection::oauth_error;
use crate::harness::customer::member;
use crate::harness::identity_provider::{IdentityProvider, token, token_with};
use crate::harness::keys::{TokenKey, decode, now};
use crate::harness::*;

pub(super) const ISSUER: &str = "https://login.example.com";
const REPORTS: &str = "https://reports.example.com/v1";
const EXCHANGE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A route for a client and a customer, and one for another audience.
pub(super) fn routes(config: Config) -> Config {
    let route = |name: &str, require: Value| {
        json!({"name": name, "path": format!("/{name}/"), "methods": ["GET"], "require": require,
            "identifier": {"header": "X-Customer-Id"}, "backend": "legacy"})
    };
    let mut scoped = route("scoped", json!(["client", "customer"]));
    scoped["scopes"] = json!(["pay"]);
    let mut reports = route("reports", json!(["client", "customer"]));
    reports["audience"] = json!(REPORTS);
    config
        .add_route(route("both", json!(["client", "customer"])))
        .add_route(route("keyed", json!(["api_key", "customer"])))
        .add_route(scoped)
        .add_route(reports)
        .set("/clients/0/scopes", json!(["profile", "pay"]))
        .set("/clients/0/audiences", json!([REPORTS]))
        .set("/api_keys/0/routes", json!(["profile", "key", "keyed"]))
        .set("/api_keys/1/routes", json!(["profile", "key", "keyed"]))
}

/// Trusts an issuer whose keys are at this address.
pub(super) fn with_jwks(config: Config, url: &str) -> Config {
    let issuer = json!({"issuer": ISSUER, "jwks": url, "audiences": ["legacy-api"], "algorithms": ["ES256"]});
    config.set("/trusted_issuers", json!([issuer]))
}

/// A gateway that trusts an issuer with this key.
fn trusting(key: &TokenKey, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(routes(config.trust(ISSUER, key))))
}

/// An exchange of this token by this client, with more parameters.
fn exchange(gateway: &Gateway, client: Account, subject_token: &str, more: &str) -> Request {
    let kind = "urn:ietf:params:oauth:token-type:jwt";
    gateway.post("/oauth/access_token").form(&format!(
        "grant_type={EXCHANGE}&client_id={}&client_secret={}&subject_token={subject_token}&subject_token_type={kind}{more}",
        client.name, client.secret
    ))
}

#[track_caller]
fn exchanged(gateway: &Gateway, subject_token: &str, more: &str) -> String {
    member(&exchange(gateway, CLIENT, subject_token, more).send().ok(), "access_token")
}

#[track_caller]
fn refused(gateway: &Gateway, request: &Request, word: &str, refusal: &str) {
    let answer = request.send();
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!(line["refusal"], refusal, "{}", answer.text());
    oauth_error(answer, 400, word);
}

fn post(gateway: &Gateway, path: &str, token: &str) -> Request {
    let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
    gateway.post(path).form(&form)
}

/// A call for the customer of this token.
#[track_caller]
fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

fn run(gateway: &Gateway, args: &[&str]) {
    let config = gateway.files.config();
    let (code, said, err) = gateway.files.run(&[args, &["--config", config.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{said}{err}");
}

#[test]
fn a_client_gets_a_short_token_with_the_identifier_and_nothing_personal() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |c| c);
    let theirs = token_with(&key, "partner-1", ISSUER, "ann", |claims| {
        claims["email"] = json!("ann@example.com");
        claims["name"] = json!("Ann Example");
    });
    gateway.get("/me/x").customer(&theirs).send().ok();
    let identifier = backend.last().header("X-Customer-Id").unwrap().to_owned();
    let answer = exchange(&gateway, CLIENT, &theirs, "").send().ok();
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let given = answer.json();
    assert_eq!((&given["token_type"], &given["issued_token_type"]), (&json!("Bearer"), &json!(ACCESS_TOKEN)));
    assert_eq!((&given["expires_in"], &given["scope"]), (&json!("300"), &json!("profile pay")));
    assert!(given.get("refresh_token").is_none());
    let ours = member(&answer, "access_token");
    let (header, claims) = decode(&ours);
    assert_eq!((&header["typ"], &claims["iss"]), (&json!("JWT"), &json!("https://gateway.test")));
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!(identifier), &json!("legacy-api")));
    assert_eq!((&claims["act"], &claims["client_id"]), (&json!({"sub": CLIENT.name}), &json!(CLIENT.name)));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    assert!(!claims.to_string().to_lowercase().contains("ann"), "{claims}");
    for path in ["/me/x", "/both/x"] {
        for _ in 0..2 {
            gateway.get(path).bearer(&gateway.client_token()).customer(&ours).send().ok();
            assert_eq!(backend.last().header("X-Customer-Id"), Some(&*identifier));
        }
    }
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((&line["client"], &line["customer"]), (&json!(CLIENT.name), &json!(identifier)), "{line}");
    gateway.expect_metric("wicketgate_tokens_total", &[("outcome", "ok")], 2.0);
    let known = post(&gateway, "/oauth/introspect", &ours).send().ok().json();
    assert_eq!((&known["active"], &known["act"]), (&json!(true), &json!({"sub": CLIENT.name})));
    assert_eq!((&known["scope"], &known["token_type"]), (&json!("profile pay"), &json!("Bearer")));
    assert_eq!((&known["sub"], &known["client_id"]), (&json!(identifier), &json!(CLIENT.name)));
    let own = exchanged(&gateway, &gateway.login(ALICE), "&requested_token_type=urn:ietf:params:oauth:token-type:jwt");
    gateway.get("/me/x").customer(&gateway.login(ALICE)).send().ok();
    let alice = backend.last().header("X-Customer-Id").unwrap().to_owned();
    assert_eq!(decode(&own).1["sub"], alice);
    assert!(decode(&own).1.get("sid").is_none() && alice != identifier);
}

#[test]
fn a_token_of_one_client_is_useless_to_another() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |c| c);
    let ours = exchanged(&gateway, &token(&key, "partner-1", ISSUER, "ann"), "");
    let stolen = gateway.get("/both/x").bearer(&gateway.token(OTHER_CLIENT)).customer(&ours);
    for _ in 0..2 {
        let answer = stolen.send().expect(401, "401-03");
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "customer_token_actor");
    }
    gateway.get("/keyed/x").api_key(config::OTHER_API_KEY).customer(&ours).send().expect(401, "401-03");
    backend.assert_untouched();
    gateway.get("/both/x").bearer(&gateway.client_token()).customer(&ours).send().ok();
    gateway.get("/keyed/x").api_key(API_KEY).customer(&ours).send().ok();
    // Where no client is asked for, the token alone says who acts.
    let answer = gateway.get("/me/x").customer(&ours).send().ok();
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["client"], CLIENT.name);
    let known = post(&gateway, "/oauth/introspect", &ours);
    assert_eq!(known.send().ok().json()["active"], true);
    let form = format!("client_id={}&client_secret={}&token={ours}", OTHER_CLIENT.name, OTHER_CLIENT.secret);
    assert_eq!(gateway.post("/oauth/introspect").form(&form).send().ok().json(), json!({"active": false}));
    gateway.post("/oauth/revoke").form(&form).send().ok();
    assert_eq!(status(&gateway, &ours), 200);
}

fn an_exchanged_token_ends_with_the_token_that_it_was_given_for(store: &Store) {
    let key = TokenKey::generate();
    let (_backend, gateway) = store.world_with(|c| routes(c.trust(ISSUER, &key)));
    type Ends = fn(&Gateway, &str, &str);
    let ends: [(&str, Ends); 5] = [
        ("revoked by a client", |gateway, theirs, _| drop(post(gateway, "/oauth/revoke", theirs).send().ok())),
        ("a logout", |gateway, theirs, _| drop(gateway.post("/auth/logout").customer(theirs).send().expect(204, ""))),
        ("a logout of all", |gateway, theirs, _| {
            gateway.post("/auth/logout?everywhere=true").customer(theirs).send().expect(204, "");
        }),
        ("the customer, by an operator", |gateway, _, ours| {
            run(gateway, &["revoke", "customer", decode(ours).1["sub"].as_str().unwrap()]);
        }),
        ("the client, by an operator", |gateway, _, _| run(gateway, &["revoke", "client", CLIENT.name])),
    ];
    for (number, (what, end)) in ends.into_iter().enumerate() {
        for kind in ["with an id", "without an id", "our own"] {
            let subject = format!("ann-{number} {kind}");
            let theirs = match kind {
                "with an id" => token(&key, "partner-1", ISSUER, &subject),
                "without an id" => token_with(&key, "partner-1", ISSUER, &subject, |claims| {
                    claims.as_object_mut().unwrap().remove("jti");
                }),
                _ => gateway.login(BOB),
            };
            let what = format!("{what}, {kind}");
            // Until this replica has read what it has written.
            eventually("an exchange", || exchange(&gateway, CLIENT, &theirs, "").send().status != 503);
            let ours = exchanged(&gateway, &theirs, "");
            // Remembered as good.
            assert_eq!((status(&gateway, &ours), status(&gateway, &ours)), (200, 200), "{what}");
            end(&gateway, &theirs, &ours);
            eventually(&what, || status(&gateway, &ours) == 401);
            assert_eq!(status(&gateway, &ours), 401, "{what}");
            let again = exchange(&gateway, CLIENT, &theirs, "").send();
            let expected = if what.contains("client, by") { [200, 503] } else { [400, 400] };
            assert!(expected.contains(&again.status), "{what}: {}", again.text());
        }
    }
    // What comes after the rules is not meant by them.
    let alice = gateway.login(ALICE);
    eventually("an exchange", || exchange(&gateway, CLIENT, &alice, "").send().status != 503);
    let later = exchanged(&gateway, &gateway.login(ALICE), "");
    assert_eq!(status(&gateway, &later), 200);
    let gateway = gateway.restart();
    gateway.is_ready();
    assert_eq!(status(&gateway, &later), 200);
}

#[test]
fn an_exchanged_token_ends_with_the_account_the_issuer_and_the_client() {
    let key = TokenKey::generate();
    let backend = Backend::start();
    let config = routes(Config::new(&backend).trust(ISSUER, &key));
    let gateway = Gateway::start(&config);
    let theirs = exchanged(&gateway, &token(&key, "partner-1", ISSUER, "ann"), "");
    let (alice, bob) = (exchanged(&gateway, &gateway.login(ALICE), ""), exchanged(&gateway, &gateway.login(BOB), ""));
    let all = |expected: [u16; 3]| {
        for (token, expected) in [&theirs, &alice, &bob].into_iter().zip(expected) {
            assert_eq!(status(&gateway, token), expected);
        }
    };
    all([200, 200, 200]);
    let mut fewer = config.clone();
    fewer.accounts.retain(|account| account.name != ALICE.name);
    gateway.reload(&fewer, "reloaded");
    all([200, 401, 200]);
    gateway.reload(&config.clone().without("/trusted_issuers"), "reloaded");
    all([401, 200, 200]);
    let mut without = config.without("/clients/0").without("/api_keys/0");
    without.yaml["routes"].as_array_mut().unwrap().retain(|route| route.get("scopes").is_none());
    gateway.reload(&without, "reloaded");
    all([401, 401, 401]);
}

#[test]
fn an_exchanged_token_never_outlives_the_other_one() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| {
        c.set("/access_token/number_style", json!("number")).set("/access_token/exchange", json!({"lifetime": "2m"}))
    });
    let ends = now() + 40;
    let theirs = token_with(&key, "partner-1", ISSUER, "ann", |claims| claims["exp"] = json!(ends));
    let answer = exchange(&gateway, CLIENT, &theirs, "").send().ok();
    assert!(answer.json()["expires_in"].as_u64().unwrap() <= 40, "{}", answer.text());
    assert_eq!(decode(&member(&answer, "access_token")).1["exp"], ends);
    let long = exchange(&gateway, CLIENT, &token(&key, "partner-1", ISSUER, "ann"), "").send().ok();
    assert_eq!(long.json()["expires_in"], 120);
    // Still good at a route, by the tolerated clock difference, and good for nothing longer.
    let over = token_with(&key, "partner-1", ISSUER, "ann", |claims| claims["exp"] = json!(now() - 5));
    assert_eq!(status(&gateway, &over), 200);
    refused(&gateway, &exchange(&gateway, CLIENT, &over, ""), "invalid_request", "customer_token_expired");
}

#[test]
fn scopes_and_audience_are_narrowed_and_never_widened() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| c);
    let theirs = token(&key, "partner-1", ISSUER, "ann");
    let narrow = exchanged(&gateway, &theirs, "&scope=profile");
    assert_eq!(decode(&narrow).1["scope"], "profile");
    let call = |path: &str, token: &str| gateway.get(path).bearer(&gateway.client_token()).customer(token).send();
    call("/scoped/x", &exchanged(&gateway, &theirs, "")).ok();
    call("/scoped/x", &narrow).expect(403, "403-02");
    call("/both/x", &narrow).ok();
    refused(
        &gateway,
        &exchange(&gateway, CLIENT, &theirs, "&scope=profile%20admin"),
        "invalid_scope",
        "scope_not_allowed",
    );
    let credentials = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let own = format!("grant_type=client_credentials&resource={REPORTS}&{credentials}");
    let own = member(&gateway.post("/oauth/access_token").form(&own).send().ok(), "access_token");
    let report = |token: &str| gateway.get("/reports/x").bearer(&own).customer(token).send();
    for name in ["resource", "audience"] {
        let reports = exchanged(&gateway, &theirs, &format!("&{name}={REPORTS}"));
        assert_eq!(decode(&reports).1["aud"], REPORTS);
        report(&reports).ok();
        gateway.get("/me/x").customer(&reports).send().expect(401, "401-03");
        let other = exchange(&gateway, CLIENT, &theirs, &format!("&{name}=https://other.example.com"));
        refused(&gateway, &other, "invalid_target", "resource_not_allowed");
    }
    report(&exchanged(&gateway, &theirs, "")).expect(401, "401-03");
    report(&theirs).ok();
    let two = exchange(&gateway, CLIENT, &theirs, &format!("&resource={REPORTS}&audience=legacy-api"));
    refused(&gateway, &two, "invalid_target", "resource_not_allowed");
    exchange(&gateway, OTHER_CLIENT, &theirs, &format!("&resource={REPORTS}")).send().expect(400, "");
    // A login's own token for the audience of clients is none that was ever given.
    let forged = gateway.forge(|_, claims| claims["aud"] = json!(REPORTS));
    report(&forged).expect(401, "401-03");
}

#[test]
fn a_bad_subject_token_is_an_invalid_request_and_no_failed_client_authentication() {
    let (key, other) = (TokenKey::generate(), TokenKey::generate());
    let (_backend, gateway) =
        trusting(&key, |c| c.set("/access_token/attempts", json!({"free": 1, "free_per_address": 1, "delay": "5m"})));
    let with = |change: fn(&mut Value)| token_with(&key, "partner-1", ISSUER, "ann", change);
    let revoked = with(|_| {});
    post(&gateway, "/oauth/revoke", &revoked).send().ok();
    let (client, own) = (gateway.token(CLIENT), exchanged(&gateway, &with(|_| {}), ""));
    let cases = [
        ("x", "customer_token_malformed"),
        (&token(&other, "partner-1", ISSUER, "ann"), "customer_token_signature"),
        (&token(&key, "partner-2", ISSUER, "ann"), "customer_token_unknown_key"),
        (&token(&key, "partner-1", "https://evil.example.com", "ann"), "customer_token_issuer"),
        (&with(|claims| claims["aud"] = json!("others")), "customer_token_audience"),
        (&with(|claims| claims["exp"] = json!(now() - 60)), "customer_token_expired"),
        (&with(|claims| claims["nbf"] = json!(now() + 600)), "customer_token_not_yet_valid"),
        (&revoked, "customer_token_revoked"),
        (&client, "customer_token_type"),
        (&own, "customer_token_actor"),
        (&with(|claims| claims["act"] = json!({"sub": "somebody"})), "customer_token_actor"),
        (&with(|claims| claims["may_act"] = json!({"sub": "another"})), "customer_token_actor"),
    ];
    for (token, refusal) in cases {
        refused(&gateway, &exchange(&gateway, CLIENT, token, ""), "invalid_request", refusal);
    }
    exchanged(&gateway, &with(|claims| claims["may_act"] = json!({"sub": "asapp"})), "");
    // The client comes first: nobody else learns anything about a token.
    let stranger = Account { secret: "wrong", ..CLIENT };
    oauth_error(exchange(&gateway, stranger, &with(|_| {}), "").send(), 401, "invalid_client");
}

#[test]
fn what_an_exchange_does_not_support_is_an_invalid_request() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| c);
    let theirs = token(&key, "partner-1", ISSUER, "ann");
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    for more in [
        format!("&actor_token={theirs}&actor_token_type={ACCESS_TOKEN}"),
        "&actor_token=".to_owned(),
        format!("&requested_token_type={saml}"),
        "&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token".to_owned(),
    ] {
        let asked = exchange(&gateway, CLIENT, &theirs, &more);
        refused(&gateway, &asked, "invalid_request", "parameter_not_supported");
    }
    let credentials = format!("grant_type={EXCHANGE}&client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let ask = |rest: &str| gateway.post("/oauth/access_token").form(&format!("{credentials}{rest}"));
    refused(&gateway, &ask(""), "invalid_request", "parameter_missing");
    refused(&gateway, &ask(&format!("&subject_token={theirs}")), "invalid_request", "parameter_missing");
    let asked = ask(&format!("&subject_token={theirs}&subject_token_type={saml}"));
    refused(&gateway, &asked, "invalid_request", "parameter_not_supported");
    for kind in ["jwt", "access_token", "id_token"] {
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        ask(&format!("&subject_token={theirs}&subject_token_type={kind}")).send().ok();
    }
    let query = gateway.post(&format!("/oauth/access_token?subject_token={theirs}")).form(&credentials);
    refused(&gateway, &query, "invalid_request", "secret_in_query");
}

#[test]
fn a_token_that_is_bound_to_a_key_is_exchanged_only_with_a_proof_and_stays_bound() {
    let (key, held, other) = (TokenKey::generate(), TokenKey::generate(), TokenKey::generate());
    let (_backend, gateway) = trusting(&key, |c| c.route("both", "dpop", json!("optional")));
    let proof = |key: &TokenKey| Proof::new(key, "POST", "/oauth/access_token").text();
    let bound = gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", &proof(&held)).send().ok();
    let bound = member(&bound, "access_token");
    let confirmation = decode(&bound).1["cnf"].clone();
    let theirs = token_with(&key, "partner-1", ISSUER, "ann", |claims| claims["cnf"] = confirmation.clone());
    let ask = exchange(&gateway, CLIENT, &theirs, "");
    refused(&gateway, &ask, "invalid_grant", "customer_token_binding");
    refused(&gateway, &ask.clone().header("DPoP", &proof(&other)), "invalid_grant", "customer_token_binding");
    let answer = ask.header("DPoP", &proof(&held)).send().ok();
    assert_eq!(answer.json()["token_type"], "DPoP");
    let ours = member(&answer, "access_token");
    assert_eq!(decode(&ours).1["cnf"], confirmation);
    assert_eq!(status(&gateway, &ours), 401, "it is not good alone");
    // With the client's own token that is bound to the same key, one proof is for both.
    let call = gateway.get("/both/x").customer(&ours);
    let with = Proof::new(&held, "GET", "/both/x").with(&bound).text();
    call.clone().header("Authorization", &format!("DPoP {bound}")).header("DPoP", &with).send().ok();
    call.bearer(&gateway.client_token()).send().expect(401, "401-03");
}

#[test]
fn a_client_uses_only_the_grant_types_that_it_has() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| {
        c.set("/clients/0/grant_types", json!(["token_exchange"]))
            .set("/clients/1/grant_types", json!(["client_credentials"]))
    });
    let theirs = token(&key, "partner-1", ISSUER, "ann");
    exchanged(&gateway, &theirs, "");
    let own = gateway.token_request(CLIENT.name, CLIENT.secret);
    refused(&gateway, &own, "unauthorized_client", "unauthorized_client");
    gateway.token(OTHER_CLIENT);
    let other = exchange(&gateway, OTHER_CLIENT, &theirs, "");
    refused(&gateway, &other, "unauthorized_client", "unauthorized_client");
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    let kinds = metadata["grant_types_supported"].clone();
    assert_eq!(kinds, json!(["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"]));
    let jwt_bearer = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer";
    let asked = format!("{jwt_bearer}&client_id={}&client_secret={}&assertion=x", CLIENT.name, CLIENT.secret);
    let asked = gateway.post("/oauth/access_token").form(&asked);
    refused(&gateway, &asked, "unsupported_grant_type", "grant_type");
}

#[test]
fn tokens_for_an_audience_set_apart_are_not_exchanged_across_it() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |mut c| {
        let mut listen = c.yaml["listen"].as_array().unwrap().clone();
        listen.push(listen[0].clone());
        listen[0]["name"] = json!("public");
        listen[1]["name"] = json!("apart");
        listen[1]["audience"] = json!("partner-api");
        for route in c.yaml["routes"].as_array_mut().unwrap() {
            route["listen"] = json!(["public"]);
        }
        let apart = json!({"name": "apart", "path": "/apart/", "methods": ["GET"], "require": ["customer"],
            "listen": ["apart"], "identifier": {"header": "X-Customer-Id"}, "backend": "legacy"});
        c.add_route(apart)
            .set("/listen", json!(listen))
            .set("/trusted_issuers/0/audiences", json!(["legacy-api", "partner-api"]))
    });
    let lines = gateway.stderr.all();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut there = lines.filter(|line| line["message"] == "listening" && line["role"] == "gateway").skip(1);
    let there = there.next().unwrap()["address"].as_str().unwrap().parse().unwrap();
    let apart = token_with(&key, "partner-1", ISSUER, "ann", |claims| claims["aud"] = json!("partner-api"));
    let theirs = token(&key, "partner-1", ISSUER, "ann");
    refused(&gateway, &exchange(&gateway, CLIENT, &apart, ""), "invalid_request", "customer_token_audience");
    let asked = exchange(&gateway, CLIENT, &theirs, "&audience=partner-api");
    refused(&gateway, &asked, "invalid_target", "resource_not_allowed");
    let there = |request: Request| Request { address: there, ..request };
    let asked = there(exchange(&gateway, CLIENT, &theirs, ""));
    refused(&gateway, &asked, "invalid_request", "customer_token_audience");
    let asked = there(exchange(&gateway, CLIENT, &apart, &format!("&resource={REPORTS}")));
    refused(&gateway, &asked, "invalid_target", "resource_not_allowed");
    let ours = member(&there(exchange(&gateway, CLIENT, &apart, "")).send().ok(), "access_token");
    assert_eq!(decode(&ours).1["aud"], "partner-api");
    there(gateway.get("/apart/x").customer(&ours)).send().ok();
    gateway.get("/me/x").customer(&ours).send().expect(401, "401-03");
    there(gateway.get("/apart/x").customer(&exchanged(&gateway, &theirs, ""))).send().expect(401, "401-03");
}

#[test]
fn the_end_of_an_exchanged_token_is_not_that_of_the_login() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| c);
    for theirs in [token(&key, "partner-1", ISSUER, "ann"), gateway.login(ALICE)] {
        let (ours, other) = (exchanged(&gateway, &theirs, ""), exchanged(&gateway, &theirs, ""));
        for path in ["/auth/logout", "/auth/logout?everywhere=true"] {
            gateway.post(path).customer(&ours).send().expect(401, "401-03");
        }
        assert_eq!(status(&gateway, &ours), 200);
        post(&gateway, "/oauth/revoke", &ours).send().ok();
        assert_eq!(status(&gateway, &ours), 401);
        assert_eq!((status(&gateway, &other), status(&gateway, &theirs)), (200, 200));
    }
}

#[test]
fn while_the_keys_of_the_issuer_cannot_be_had_the_answer_is_503() {
    let key = TokenKey::generate();
    let address = IdentityProvider::start(&[]).die();
    let (_backend, gateway) = world_with(|c| with_jwks(routes(c), &format!("http://{address}/jwks")));
    let asked = exchange(&gateway, CLIENT, &token(&key, "one", ISSUER, "ann"), "");
    let answer = asked.send();
    assert!(answer.header("Retry-After").is_some());
    oauth_error(answer, 503, "temporarily_unavailable");
}

#[test]
fn a_token_with_many_groups_is_exchanged_as_a_route_takes_it() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| c);
    let groups: Vec<String> = (0..200).map(|number| format!("{number:036}")).collect();
    let theirs = token_with(&key, "partner-1", ISSUER, "ann", |claims| claims["groups"] = json!(groups));
    assert!(theirs.len() > 10_000);
    assert_eq!((status(&gateway, &theirs), status(&gateway, &exchanged(&gateway, &theirs, ""))), (200, 200));
}

#[test]
fn an_oauth_library_exchanges_a_customers_token_and_hands_it_in_as_an_assertion() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |c| c);
    let ca = gateway.files.path.join("certs/ca.pem");
    let base = format!("https://localhost:{}", gateway.address.port());
    let theirs = token(&key, "partner-1", ISSUER, "ann");
    let args = [&base, ca.to_str().unwrap(), CLIENT.name, CLIENT.secret, &theirs, "/both/x"];
    assert_eq!(python::python("oauth_exchange_client.py", &args).trim(), "ok");
}

on_both_stores! {
    an_exchanged_token_ends_with_the_token_that_it_was_given_for
}
