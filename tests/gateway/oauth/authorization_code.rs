//! The authorization code grant with PKCE.

use super::revocation_and_introspection::oauth_error;
use crate::auth::dpop::Proof;
use crate::harness::customer::member;
use crate::harness::gateway::form_encode;
use crate::harness::keys::{TokenKey, decode};
use crate::harness::login_page::*;
use crate::harness::python::python;
use crate::harness::*;
use crate::state::replicas::{replicas, until};

fn codes() -> (Backend, Gateway) {
    world_with(with_codes)
}

/// The parameters of the second client.
fn other() -> String {
    format!("client_id={}&client_secret={}", OTHER_CLIENT.name, OTHER_CLIENT.secret)
}

fn a_code_gives_the_same_customer_as_every_other_door_and_refreshes(store: &Store) {
    let (backend, gateway) = store.world_with(|c| with_codes(c).set("/login/refresh", json!({"lifetime": "1h"})));
    let answer = redeem(&gateway, &code(&gateway, &query(), ALICE)).send().ok();
    assert_eq!(member(&answer, "token_type"), "Bearer");
    assert_eq!(member(&answer, "scope"), "profile orders");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
    gateway.get("/me/x").customer(&gateway.login(ALICE)).send().ok();
    let names: Vec<String> = backend.requests().iter().map(|r| r.header("X-Customer-Id").unwrap().to_owned()).collect();
    assert_eq!(names[0], names[1]);
    let form = format!("grant_type=refresh_token&refresh_token={}", member(&answer, "refresh_token"));
    let next = gateway.post("/oauth/access_token").form(&form).send().ok();
    let [first, second] = [&answer, &next].map(|answer| decode(&member(answer, "access_token")).1);
    assert_eq!((&first["sid"], &first["sub"]), (&second["sid"], &second["sub"]), "it is the same login");
    gateway.post("/auth/logout").customer(&member(&next, "access_token")).send().expect(204, "");
    gateway.get("/me/x").customer(&member(&answer, "access_token")).send().expect(401, "401-03");
}

fn a_code_that_comes_back_is_refused_and_ends_what_it_gave(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| with_codes(c).set("/login/refresh", json!({"lifetime": "1h"})));
    let code = code(&gateway, &query(), ALICE);
    let answer = redeem(&gateway, &code).send().ok();
    let jwt = member(&answer, "access_token");
    gateway.get("/me/x").customer(&jwt).send().ok();
    let gateway = gateway.restart();
    oauth_error(redeem(&gateway, &code).send(), 400, "invalid_grant");
    gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
    let form = format!("grant_type=refresh_token&refresh_token={}", member(&answer, "refresh_token"));
    oauth_error(gateway.post("/oauth/access_token").form(&form).send(), 400, "invalid_grant");
    gateway.expect_metric("wicketgate_tokens_total", &[("outcome", "authorization_code_reused")], 1.0);
}

fn of_many_who_redeem_a_code_at_once_at_most_one_is_answered_and_its_login_ends(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| with_codes(c).set("/login/refresh", json!({"lifetime": "1h"})));
    let code = code(&gateway, &query(), ALICE);
    // Its secret is known from here on: nothing waits for a hash.
    gateway.token(CLIENT);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let request = redeem(&gateway, &code);
            std::thread::spawn(move || request.send())
        })
        .collect();
    let answers: Vec<Response> = all.into_iter().map(|one| one.join().unwrap()).collect();
    let given: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(given.len() <= 1, "{} answers", given.len());
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
    }
    for answer in given {
        gateway.get("/me/x").customer(&member(answer, "access_token")).send().expect(401, "401-03");
        let form = format!("grant_type=refresh_token&refresh_token={}", member(answer, "refresh_token"));
        oauth_error(gateway.post("/oauth/access_token").form(&form).send(), 400, "invalid_grant");
    }
}

on_both_stores! {
    of_many_who_redeem_a_code_at_once_at_most_one_is_answered_and_its_login_ends
    a_code_gives_the_same_customer_as_every_other_door_and_refreshes
    a_code_that_comes_back_is_refused_and_ends_what_it_gave
}

#[test]
fn a_form_and_a_code_of_one_replica_are_good_at_another_and_the_code_once_at_both() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| with_codes(c).set("/login/issue", json!("jwt")));
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let answer = OpenForm::open(a, &query()).filled(b, ALICE.name, ALICE.secret).send();
    let code = returned(&answer, "code").unwrap();
    let jwt = member(&redeem(a, &code).send().ok(), "access_token");
    b.get("/me/x").customer(&jwt).send().ok();
    oauth_error(redeem(b, &code).send(), 400, "invalid_grant");
    until("it has ended everywhere", || [a, b].iter().all(|at| at.get("/me/x").customer(&jwt).send().status == 401));
}

#[test]
fn a_refresh_by_a_client_with_codes_is_answered_as_its_code_was_and_any_other_as_a_login() {
    let refreshing = |c: Config| with_codes(c).set("/login/refresh", json!({"lifetime": "1h"}));
    let (_backend, gateway) =
        world_with(|c| refreshing(c).without("/clients/1/pkce").without("/clients/1/redirect_uris"));
    let mut token = member(&redeem(&gateway, &code(&gateway, &query(), ALICE)).send().ok(), "refresh_token");
    let own = format!("&client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let kinds = [
        (own, "Bearer"),
        (format!("&client_id={APP}"), "Bearer"),
        (format!("&{}", other()), "JWT"),
        (format!("&client_id={}", CLIENT.name), "JWT"),
        (String::new(), "JWT"),
    ];
    for (client, kind) in kinds {
        let form = format!("grant_type=refresh_token&refresh_token={token}{client}");
        let answer = gateway.post("/oauth/access_token").form(&form).send().ok();
        assert_eq!(member(&answer, "token_type"), kind, "{client}");
        gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
        token = member(&answer, "refresh_token");
    }
}

#[test]
fn without_refresh_tokens_a_code_that_comes_back_ends_its_jwt() {
    let (_backend, gateway) = codes();
    let code = code(&gateway, &query(), ALICE);
    let answer = redeem(&gateway, &code).send().ok();
    assert!(answer.json().get("refresh_token").is_none());
    let jwt = member(&answer, "access_token");
    gateway.get("/me/x").customer(&jwt).send().ok();
    oauth_error(redeem(&gateway, &code).send(), 400, "invalid_grant");
    gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
}

#[test]
fn the_client_gets_its_state_byte_for_byte_and_the_name_of_the_issuer() {
    let (_backend, gateway) = codes();
    for state in ["s", "a b+c&d=e;f?g#h/%41\"<>'", "\u{e9}\u{1f600}\u{1}", &"x".repeat(2_048)] {
        let form = OpenForm::open(&gateway, &with(query(), "state", state));
        let answer = form.filled(&gateway, ALICE.name, ALICE.secret).send();
        assert_eq!(returned(&answer, "state").as_deref(), Some(state));
        assert_eq!(returned(&answer, "iss").as_deref(), Some("https://gateway.test"));
        assert!(answer.header("Location").unwrap().starts_with(&format!("{CALLBACK}?code=")));
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
    }
    // None is none, and a redirect URI with a query keeps it.
    let pairs = with(with(query(), "state", ""), "redirect_uri", "https://app.test/other?tenant=a");
    let answer = OpenForm::open(&gateway, &pairs).filled(&gateway, ALICE.name, ALICE.secret).send();
    assert_eq!((returned(&answer, "state"), returned(&answer, "tenant").as_deref()), (None, Some("a")));
    let answer = authorize(&gateway, &with(query(), "state", &"x".repeat(2_049))).send();
    assert_eq!(returned(&answer, "error").as_deref(), Some("invalid_request"));
}

#[test]
fn a_wrong_client_or_redirect_uri_sends_nobody_anywhere() {
    let (_backend, gateway) = codes();
    let is_page = |answer: Response| {
        assert_eq!((answer.status, answer.header("Location")), (400, None), "{:?}", answer.lines);
        assert!(answer.header("Content-Type").unwrap().starts_with("text/html") && !answer.text().contains("<form"));
        assert!(answer.all("Set-Cookie").is_empty());
    };
    for uri in [
        "",
        "https://evil.test/callback",
        "https://app.test/callback/",
        "https://app.test/callback?x=1",
        "https://app.test/callback#x",
        "https://app.test/callback/../x",
        "https://app.test/callbac",
        "https://app.test/callback%00",
        "https://app.test/callback\r\nX: y",
        "https://app.test@evil.test/callback",
        "https://app.test.evil.test/callback",
        "https://app.test:444/callback",
        "http://app.test/callback",
        "HTTPS://app.test/callback",
        "//app.test/callback",
        "javascript:alert(1)",
        // That of another client.
        "https://other.test/cb",
    ] {
        is_page(authorize(&gateway, &with(query(), "redirect_uri", uri)).send());
    }
    for client in ["", "nobody", OTHER_CLIENT.name, APP] {
        is_page(authorize(&gateway, &with(query(), "client_id", client)).send());
    }
    for twice in ["client_id", "redirect_uri"] {
        let mut pairs = query();
        pairs.extend(query().into_iter().filter(|(name, _)| *name == twice));
        is_page(authorize(&gateway, &pairs).send());
    }
    is_page(gateway.get(AUTHORIZE).send());
    is_page(gateway.get(&format!("{AUTHORIZE}?%ff=1")).send());
}

#[test]
fn what_else_is_wrong_goes_back_to_the_client() {
    let (_backend, gateway) = codes();
    let refused = |pairs: &[(&'static str, String)], error: &str| {
        let answer = authorize(&gateway, pairs).send();
        assert_eq!(returned(&answer, "error").as_deref(), Some(error), "{pairs:?}");
        assert_eq!(returned(&answer, "iss").as_deref(), Some("https://gateway.test"));
        assert_eq!(returned(&answer, "code"), None);
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert!(line["refusal"].is_string() && line["client"].is_string(), "{line}");
        answer
    };
    for (name, value, error) in [
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "s256", "invalid_request"),
        ("prompt", "none login", "invalid_request"),
        ("request", "a.b.c", "request_not_supported"),
        ("request_uri", "https://evil.test/r", "request_uri_not_supported"),
        ("resource", "https://evil.test", "invalid_target"),
    ] {
        let answer = refused(&with(query(), name, value), error);
        assert_eq!(returned(&answer, "state").as_deref(), Some("s-1"), "{name}={value}");
    }
    for twice in ["state", "scope", "code_challenge", "response_type", "prompt", "resource"] {
        let mut pairs = with(query(), twice, "legacy-api");
        pairs.push((twice, "other".to_owned()));
        let error = if twice == "resource" { "invalid_target" } else { "invalid_request" };
        refused(&pairs, error);
    }
    let both = with(query_of(OTHER_CLIENT.name, "https://other.test/cb"), "code_challenge_method", "plain");
    refused(&both, "invalid_request");
    let answer = authorize(&gateway, &with(query(), "prompt", "none")).send();
    assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"));
}

#[test]
fn a_code_is_for_its_client_its_address_and_its_verifier_and_a_wrong_try_spoils_nothing() {
    let (_backend, gateway) = codes();
    let first = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let good = code(&gateway, &query(), ALICE);
    let another = code(&gateway, &with(query(), "redirect_uri", "https://app.test/other?tenant=a"), ALICE);
    let refused = |request: Request| oauth_error(request.send(), 400, "invalid_grant");
    refused(redeem_as(&gateway, &other(), CALLBACK, &good, VERIFIER));
    refused(redeem_as(&gateway, &other(), "https://other.test/cb", &good, VERIFIER));
    refused(redeem_as(&gateway, &format!("client_id={APP}"), "https://spa.test/cb", &good, VERIFIER));
    refused(redeem_as(&gateway, &first, "https://app.test/other?tenant=a", &good, VERIFIER));
    refused(redeem_as(&gateway, &first, CALLBACK, &another, VERIFIER));
    refused(redeem_as(&gateway, &first, CALLBACK, &good, ""));
    refused(redeem_as(&gateway, &first, CALLBACK, &good, CHALLENGE));
    refused(redeem_as(&gateway, &first, CALLBACK, &good, &VERIFIER[1..]));
    for wrong in ["x", "wgc_", &good[..good.len() - 2], &format!("{good}AA")] {
        refused(redeem(&gateway, wrong));
    }
    let wrong_secret = format!("client_id={}&client_secret=wrong", CLIENT.name);
    oauth_error(redeem_as(&gateway, &wrong_secret, CALLBACK, &good, VERIFIER).send(), 401, "invalid_client");
    let no_secret = format!("client_id={}", CLIENT.name);
    oauth_error(redeem_as(&gateway, &no_secret, CALLBACK, &good, VERIFIER).send(), 401, "invalid_client");
    redeem(&gateway, &good).send().ok();
}

#[test]
fn pkce_can_be_neither_left_out_nor_added_in_the_middle() {
    let (_backend, gateway) = codes();
    let callback = "https://other.test/cb";
    let bare = with(with(query_of(OTHER_CLIENT.name, callback), "code_challenge", ""), "code_challenge_method", "");
    let without = code(&gateway, &bare, ALICE);
    oauth_error(redeem_as(&gateway, &other(), callback, &without, VERIFIER).send(), 400, "invalid_grant");
    redeem_as(&gateway, &other(), callback, &without, "").send().ok();
    let proved = code(&gateway, &query_of(OTHER_CLIENT.name, callback), ALICE);
    oauth_error(redeem_as(&gateway, &other(), callback, &proved, "").send(), 400, "invalid_grant");
    redeem_as(&gateway, &other(), callback, &proved, VERIFIER).send().ok();
}

#[test]
fn an_app_without_a_secret_logs_customers_in_and_can_do_nothing_else() {
    let (_backend, gateway) = codes();
    let id = format!("client_id={APP}");
    for callback in ["https://spa.test/cb", "http://127.0.0.1:51004/cb"] {
        let code = code(&gateway, &query_of(APP, callback), ALICE);
        let answer = redeem_as(&gateway, &id, callback, &code, VERIFIER).send().ok();
        gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
    }
    for form in [
        format!("grant_type=client_credentials&{id}"),
        format!("grant_type=client_credentials&{id}&client_secret=x"),
        format!("grant_type=client_credentials&{id}&client_secret="),
    ] {
        oauth_error(gateway.post("/oauth/access_token").form(&form).send(), 401, "invalid_client");
    }
    let form = format!("{id}&token={}", gateway.login(ALICE));
    oauth_error(gateway.post("/oauth/introspect").form(&form).send(), 401, "invalid_client");
    let missing = with(with(query_of(APP, "https://spa.test/cb"), "code_challenge", ""), "code_challenge_method", "");
    assert_eq!(returned(&authorize(&gateway, &missing).send(), "error").as_deref(), Some("invalid_request"));
}

#[test]
fn an_app_without_a_secret_revokes_the_tokens_of_its_customers_and_no_others() {
    let (_backend, gateway) = world_with(|c| with_codes(c).set("/login/refresh", json!({"lifetime": "1h"})));
    let revoke = |token: &str, more: &str| {
        gateway.post("/oauth/revoke").form(&format!("client_id={APP}&token={token}{more}")).send()
    };
    let answer = || {
        let code = code(&gateway, &query_of(APP, "https://spa.test/cb"), ALICE);
        redeem_as(&gateway, &format!("client_id={APP}"), "https://spa.test/cb", &code, VERIFIER).send().ok()
    };
    for name in ["access_token", "refresh_token"] {
        let answer = answer();
        oauth_error(revoke(&member(&answer, name), "&client_secret=x"), 401, "invalid_client");
        gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
        revoke(&member(&answer, name), "").ok();
        gateway.get("/me/x").customer(&member(&answer, "access_token")).send().expect(401, "401-03");
        let form = format!("grant_type=refresh_token&refresh_token={}", member(&answer, "refresh_token"));
        oauth_error(gateway.post("/oauth/access_token").form(&form).send(), 400, "invalid_grant");
    }
    let token = gateway.token(CLIENT);
    revoke(&token, "").ok();
    gateway.get("/system/x").bearer(&token).send().ok();
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    let takes_none = |endpoint: &str| {
        let methods = &metadata[format!("{endpoint}_endpoint_auth_methods_supported")];
        methods.as_array().unwrap().contains(&json!("none"))
    };
    assert_eq!((takes_none("revocation"), takes_none("introspection")), (true, false));
}

#[test]
fn a_published_resource_names_the_audience_of_a_code_too() {
    let (_backend, gateway) = world_with(|c| with_codes(c).route("system", "resource_metadata", json!(true)));
    let own = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    for (resource, is_one) in [("https://gateway.test/system/", true), ("https://gateway.test/me/", false)] {
        let answer = authorize(&gateway, &with(query(), "resource", resource)).send();
        assert_eq!(answer.status == 200, is_one, "{resource}");
        if !is_one {
            assert_eq!(returned(&answer, "error").as_deref(), Some("invalid_target"));
        }
        let code = code(&gateway, &query(), ALICE);
        let answer = redeem_as(&gateway, &format!("{own}&resource={resource}"), CALLBACK, &code, VERIFIER).send();
        if is_one {
            gateway.get("/me/x").customer(&member(&answer.ok(), "access_token")).send().ok();
        } else {
            oauth_error(answer, 400, "invalid_target");
        }
    }
}

#[test]
fn a_code_and_a_refresh_with_a_proof_give_a_token_that_is_bound_to_its_key() {
    let (_backend, gateway) = world_with(|c| {
        with_codes(c).set("/login/refresh", json!({"lifetime": "1h"})).route("me", "dpop", json!("optional")).route(
            "me",
            "customer_token_sources",
            json!([{"bearer": true}]),
        )
    });
    let key = TokenKey::generate();
    let proof = || Proof::new(&key, "POST", "/oauth/access_token").text();
    let with_code = |code: &str, proof: &str| redeem(&gateway, code).header("DPoP", proof).send();
    let code_of_alice = code(&gateway, &query(), ALICE);
    let (used, elsewhere) = (proof(), Proof::new(&key, "POST", "/oauth/revoke").text());
    for wrong in ["garbage", &elsewhere] {
        oauth_error(with_code(&code_of_alice, wrong), 400, "invalid_dpop_proof");
    }
    let mut answer = with_code(&code_of_alice, &used).ok();
    for _ in 0..2 {
        assert_eq!(member(&answer, "token_type"), "DPoP");
        let token = member(&answer, "access_token");
        assert!(decode(&token).1["cnf"]["jkt"].is_string());
        let held = Proof::new(&key, "GET", "/me/x").with(&token).text();
        let call = |scheme: &str| gateway.get("/me/x").header("Authorization", &format!("{scheme} {token}"));
        call("DPoP").header("DPoP", &held).send().ok();
        call("DPoP").send().expect(401, "401-03");
        call("Bearer").send().expect(401, "401-03");
        let form = format!("grant_type=refresh_token&refresh_token={}", member(&answer, "refresh_token"));
        let refresh = |proof: &str| gateway.post("/oauth/access_token").form(&form).header("DPoP", proof).send();
        oauth_error(refresh("garbage"), 400, "invalid_dpop_proof");
        answer = refresh(&proof()).ok();
    }
    // A proof is good once.
    oauth_error(with_code(&code(&gateway, &query(), ALICE), &used), 400, "invalid_dpop_proof");
}

#[test]
fn a_login_that_was_revoked_before_its_code_came_gives_nothing() {
    let (_backend, gateway) = codes();
    let code = code(&gateway, &query(), ALICE);
    gateway.post("/auth/logout?everywhere=true").customer(&gateway.login(ALICE)).send().expect(204, "");
    oauth_error(redeem(&gateway, &code).send(), 400, "invalid_grant");
}

#[test]
fn an_account_that_is_gone_before_its_code_comes_gives_nothing() {
    let (_backend, gateway) = codes();
    let code = code(&gateway, &query(), ALICE);
    gateway.files.write("accounts.yaml", "[]");
    gateway.hup("reloaded");
    oauth_error(redeem(&gateway, &code).send(), 400, "invalid_grant");
}

#[test]
fn scopes_are_narrowed_to_those_of_the_client() {
    let (_backend, gateway) = codes();
    for (asked, given) in [("openid orders offline_access", Some("orders")), ("openid", None)] {
        let answer = redeem(&gateway, &code(&gateway, &with(query(), "scope", asked), ALICE)).send().ok();
        assert_eq!(answer.json().get("scope").and_then(Value::as_str), given);
    }
}

#[test]
fn neither_codes_nor_states_nor_verifiers_stand_in_the_log() {
    let (_backend, gateway) = codes();
    let pairs = with(query(), "state", "secret-of-the-client");
    let code = code(&gateway, &pairs, ALICE);
    let answer = redeem(&gateway, &code).send().ok();
    let secret = form_encode(&code);
    oauth_error(
        gateway.post(&format!("/oauth/access_token?code={secret}")).form("grant_type=authorization_code").send(),
        400,
        "invalid_request",
    );
    gateway.access_line(answer.header("X-Request-Id").unwrap());
    let (log, metrics) = (gateway.stdout.all().join("\n") + &gateway.stderr.all().join("\n"), gateway.metrics());
    for secret in [code.as_str(), &code[..30], "secret-of-the-client", VERIFIER, CHALLENGE] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{secret}");
    }
}

#[test]
fn the_metadata_says_what_there_is_and_without_redirect_uris_there_is_nothing() {
    let (_backend, gateway) = codes();
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert_eq!(metadata["authorization_endpoint"], "https://gateway.test/oauth/authorize");
    assert_eq!(metadata["response_types_supported"], json!(["code"]));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    let has_codes =
        |metadata: &Value| metadata["grant_types_supported"].as_array().unwrap().contains(&json!("authorization_code"));
    assert!(has_codes(&metadata), "{metadata}");
    assert!(metadata["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("none")));
    let (_backend, gateway) = world();
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert_eq!((metadata.get("authorization_endpoint"), &metadata["response_types_supported"]), (None, &json!([])));
    assert!(!has_codes(&metadata), "{metadata}");
    authorize(&gateway, &query()).send().expect(404, "404-01");
    oauth_error(redeem(&gateway, "wgc_x").send(), 400, "unsupported_grant_type");
}

#[test]
fn only_the_methods_of_a_browser_are_taken() {
    let (_backend, gateway) = codes();
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = gateway.request(method, &format!("{AUTHORIZE}?{}", encoded(&query()))).send();
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, POST")), "{method}");
    }
    let answer = gateway.request("HEAD", &format!("{AUTHORIZE}?{}", encoded(&query()))).send();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[test]
fn an_oauth_library_logs_a_customer_in_with_pkce_and_refreshes() {
    for style in ["string", "number"] {
        let (_backend, gateway) = world_with(|c| {
            let refresh = json!({"lifetime": "1h", "grace": "10s"});
            with_codes(c).set("/login/refresh", refresh).set("/access_token/number_style", json!(style))
        });
        let base = format!("https://localhost:{}", gateway.address.port());
        let ca = gateway.files.path.join("certs/ca.pem");
        let ca = ca.to_str().unwrap();
        let issuer = "https://gateway.test";
        python(
            "oauth_code_client.py",
            &[&base, ca, CLIENT.name, CLIENT.secret, CALLBACK, issuer, ALICE.name, ALICE.secret, "/me/x"],
        );
    }
}

#[test]
fn the_example_of_the_documentation_serves_the_page() {
    let page = include_str!("../../../docs/identity-providers.md");
    let section = page.split("## Authorization code").nth(1).unwrap();
    let example = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let example = example.replace("$argon2id$...", &keys::argon2id(CLIENT.secret));
    let route = json!({"name": "me", "path": "/me/", "methods": ["GET"], "require": ["customer"],
        "identifier": {"header": "X-Customer-Id"}, "backend": "legacy"});
    let config = Config::new(&Backend::start()).file("login.css", "h1 { letter-spacing: 1px; }");
    let config = config.set("/routes", json!([route])).set("/api_keys", json!([]));
    let files = gateway::Workspace::new(&config);
    let sections = config.yaml.as_object().unwrap().iter();
    let others = sections.filter(|(key, _)| !["login", "access_token", "clients"].contains(&key.as_str()));
    let others: String = others.map(|(key, value)| format!("{key}: {value}\n")).collect();
    files.write("gateway.yaml", &format!("{others}{example}"));
    let gateway = Gateway::start_in(std::sync::Arc::new(files), config.signing_key.clone());
    let callback = "https://www.example.com/callback";
    let answer = authorize(&gateway, &query_of(CLIENT.name, callback)).send().ok();
    assert!(answer.text().contains("<h1>Log in to Example</h1>") && answer.text().contains("letter-spacing: 1px"));
    let answer = OpenForm::of(&answer).filled(&gateway, ALICE.name, ALICE.secret).send();
    let id = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let answer = redeem_as(&gateway, &id, callback, &returned(&answer, "code").unwrap(), VERIFIER).send().ok();
    assert!(answer.json()["expires_in"].is_number() && answer.json()["refresh_token"].is_string());
    OpenForm::open(&gateway, &query_of(APP, "com.example.app:/callback"));
}
