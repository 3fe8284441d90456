//! Texts of refusals: the log names the caller, the response tells the developer what to do.

use crate::harness::config::{FREE_API_KEY, NARROW_API_KEY, OTHER_API_KEY};
use crate::harness::keys::TokenKey;
use crate::harness::*;

/// Who stands in the line of the access log: client, API key and customer.
#[track_caller]
fn named(gateway: &Gateway, request: Request, word: &str) -> (Value, Value, Value) {
    let answer = request.send();
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!(line["refusal"], word, "{line}");
    (line["client"].clone(), line["api_key"].clone(), line["customer"].clone())
}

/// A client's token with other claims, signed by this key.
fn client_token(gateway: &Gateway, key: &TokenKey, change: Value) -> String {
    let (header, mut claims) = keys::decode(&gateway.client_token());
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    key.sign(&header, &claims)
}

fn customer_of(token: &str) -> Value {
    keys::decode(token).1["sub"].clone()
}

#[test]
fn the_log_names_whose_credentials_were_good_when_a_later_check_refused() {
    let (_backend, gateway) = world();
    let alice = customer_of(&gateway.customer_token());
    let other = gateway.token(OTHER_CLIENT);
    let (asapp, prod) = (json!(CLIENT.name), json!("asapp-prod"));
    let bearer = |token: &str| format!("Bearer {token}");
    let profile = || gateway.profile();
    let none = Value::Null;
    for (request, word, expected) in [
        (
            profile().replace("Authorization", &bearer(&other)).replace("api-key", OTHER_API_KEY),
            "scope",
            (json!(OTHER_CLIENT.name), json!("other-prod"), alice.clone()),
        ),
        (profile().replace("api-key", NARROW_API_KEY), "api_key_route", (none.clone(), json!("narrow"), none.clone())),
        (
            profile().replace("Authorization", &bearer(&other)),
            "api_key_client",
            (json!(OTHER_CLIENT.name), prod.clone(), none.clone()),
        ),
        (profile().header("X-Customer-Id", "another"), "identifier_mismatch", (asapp.clone(), prod.clone(), alice)),
        (
            profile().replace("customer-auth", "JWT nothing"),
            "customer_token_malformed",
            (asapp.clone(), prod.clone(), none.clone()),
        ),
        (
            profile().replace("Authorization", "Bearer a.b.c"),
            "client_token_malformed",
            (none.clone(), prod.clone(), none.clone()),
        ),
    ] {
        assert_eq!(named(&gateway, request, word), expected, "{word}");
    }
}

#[test]
fn the_log_names_whose_token_or_key_it_is_that_has_expired_was_revoked_or_is_for_somebody_else() {
    let reports = json!({
        "name": "reports", "path": "/reports/", "methods": ["GET"], "require": ["client"], "audience": "reports",
        "backend": "legacy",
    });
    let (_backend, gateway) = world_with(|c| c.add_route(reports));
    let alice = customer_of(&gateway.customer_token());
    let (asapp, prod) = (json!(CLIENT.name), json!("asapp-prod"));
    let none = Value::Null;
    let expired = gateway.forge(|_, claims| claims["exp"] = json!(1_000_000));
    assert_eq!(
        named(
            &gateway,
            gateway.profile().replace("customer-auth", &format!("JWT {expired}")),
            "customer_token_expired"
        ),
        (asapp.clone(), prod.clone(), alice.clone())
    );
    let expired = client_token(&gateway, &gateway.signing_key, json!({"exp": 1_000_000}));
    let request = gateway.get("/system/x").bearer(&expired);
    assert_eq!(named(&gateway, request, "client_token_expired"), (asapp.clone(), none.clone(), none.clone()));
    // Once as it comes, once as it is remembered.
    gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();
    for _ in 0..2 {
        let request = gateway.get("/reports/x").bearer(&gateway.client_token());
        assert_eq!(named(&gateway, request, "client_token_audience"), (asapp.clone(), none.clone(), none.clone()));
    }
    for (kind, name) in [("client", CLIENT.name), ("customer", alice.as_str().unwrap()), ("api-key", "asapp-prod")] {
        assert_eq!(gateway.files.run(&["revoke", kind, name]).0, 0);
    }
    let request = gateway.get("/system/x").bearer(&gateway.client_token());
    assert_eq!(named(&gateway, request, "client_token_revoked"), (asapp, none.clone(), none.clone()));
    let request = gateway.get("/me/x").customer(&gateway.customer_token());
    assert_eq!(named(&gateway, request, "customer_token_revoked"), (none.clone(), none.clone(), alice));
    let request = gateway.get("/key/x").api_key(API_KEY);
    assert_eq!(named(&gateway, request, "api_key_revoked"), (none.clone(), prod, none));
}

#[test]
fn the_log_names_whose_session_or_refresh_token_it_is_that_is_refused() {
    let (_backend, gateway) = world_with(|c| {
        c.cookies("both").set("/login/cookie/idle", json!("1s")).set("/login/refresh", json!({"lifetime": "1h"}))
    });
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let alice = customer_of(login.json()["JWT"].as_str().unwrap());
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut answer = gateway.get("/me/x").header("Cookie", &cookie).send();
    eventually("the session is idle for too long", || {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        answer = gateway.get("/me/x").header("Cookie", &cookie).send();
        answer.status == 401
    });
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((line["refusal"].as_str(), &line["customer"]), (Some("session_expired"), &alice), "{line}");
    let refresh = login.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.files.run(&["revoke", "customer", alice.as_str().unwrap()]).0, 0);
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    let request = gateway.post("/oauth/access_token").form(&form);
    assert_eq!(named(&gateway, request, "refresh_token").2, alice);
}

#[test]
fn the_log_names_nobody_whom_a_request_only_says_that_it_comes_from() {
    let (_backend, gateway) = world();
    let stranger = TokenKey::generate();
    let none = (Value::Null, Value::Null, Value::Null);
    let forged = client_token(&gateway, &stranger, json!({}));
    let mut words = Vec::new();
    let customer = keys::decode(&gateway.customer_token());
    for request in [
        gateway.get("/system/x").bearer(&forged),
        gateway.get("/system/x").bearer(&client_token(&gateway, &stranger, json!({"exp": 1}))),
        gateway.get("/me/x").customer(&stranger.sign(&customer.0, &customer.1)),
        gateway.get("/key/x").api_key(&format!("{API_KEY}x")),
    ] {
        let answer = request.send();
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        words.push(line["refusal"].as_str().unwrap().to_owned());
        assert_eq!((line["client"].clone(), line["api_key"].clone(), line["customer"].clone()), none, "{line}");
    }
    let signature = ["signature", "unknown_key"];
    assert!(words[..3].iter().all(|word| signature.iter().any(|end| word.ends_with(end))), "{words:?}");
    assert_eq!(words[3], "api_key_unknown");
}

#[test]
fn a_client_that_lacks_a_scope_is_told_which_ones_the_route_needs_and_the_log_has_the_one_that_it_lacks() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/clients/1/scopes", json!(["profile:read"])).route(
            "system",
            "scopes",
            json!(["profile:read", "profile:write"]),
        )
    });
    let answer = gateway.get("/system/x").bearer(&gateway.token(OTHER_CLIENT)).send().expect(403, "403-02");
    assert_eq!(
        answer.header("WWW-Authenticate"),
        Some(r#"Bearer error="insufficient_scope", scope="profile:read profile:write""#)
    );
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("this route needs: profile:read profile:write."), "{message}");
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((&line["scope"], &line["client"]), (&json!("profile:write"), &json!(OTHER_CLIENT.name)), "{line}");
    // What is lacking at the token endpoint is said likewise.
    let answer = gateway
        .post("/oauth/access_token?grant_type=client_credentials&scope=profile%3Aread%20x%22y")
        .form(&format!("client_id={}&client_secret={}", OTHER_CLIENT.name, OTHER_CLIENT.secret))
        .send()
        .expect(400, "");
    let said = answer.json();
    assert_eq!(said["error"], "invalid_scope");
    assert_eq!(
        said["error_description"],
        "A requested scope is not available to this client; available: profile:read."
    );
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!(line["scope"], "x\"y", "{line}");
    gateway.get("/public/x").header("X-Request-Id", "good").send().ok();
    assert!(gateway.access_line("good").get("scope").is_none());
}

#[test]
fn the_log_has_the_path_of_what_no_route_takes_and_of_nothing_else() {
    let (_backend, gateway) = world();
    let long = format!("/nowhere/{}", "x".repeat(2_000));
    for (method, target, word, path) in [
        ("GET", "/nowhere/at/all?token=SECRET", "no_route", "/nowhere/at/all"),
        ("PATCH", "/me/x?token=SECRET", "method", "/me/x"),
        ("GET", "/public/%00?token=SECRET", "ambiguous_path", "/public/%00"),
        ("GET", "/reset/wgr_SECRET", "no_route", "/reset/(secret)"),
        ("GET", &long, "no_route", &format!("{}...", &long[..200])),
    ] {
        let answer = gateway.request(method, target).send();
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!((line["refusal"].as_str(), line["path"].as_str()), (Some(word), Some(path)), "{line}");
    }
    gateway.get("/me/PRIVATE").send().expect(401, "");
    gateway.get("/public/PRIVATE").header("X-Request-Id", "good").send().ok();
    gateway.access_line("good");
    for line in gateway.stdout.all() {
        assert!(!line.contains("SECRET") && !line.contains("PRIVATE"), "{line}");
    }
}

#[test]
fn a_caller_from_an_address_that_may_not_call_has_the_path_in_the_log_that_it_asked_for() {
    let (_backend, gateway) = world_with(|c| c.set("/listen/0/allow", json!(["192.0.2.0/24"])));
    let answer = gateway.get("/public/x?y=z").send().expect(403, "403-04");
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((line["refusal"].as_str(), line["path"].as_str()), (Some("address_not_allowed"), Some("/public/x")));
}

#[test]
fn a_developer_is_told_what_is_accepted_in_place_of_what_was_sent() {
    let (_backend, gateway) = world_with(|c| {
        c.route("public", "content_types", json!(["application/json", "text/csv"]))
            .route("me", "identifier", json!({"body": "/customer/id"}))
            .route("system", "limits", json!({"body": 10}))
    });
    let told = |answer: &Response| answer.json()["error"]["message"].as_str().unwrap().to_owned();
    let answer = gateway.post("/public/x").header("Content-Type", "text/xml").body("<x/>").send().expect(415, "415-01");
    assert_eq!(answer.header("Accept"), Some("application/json, text/csv"));
    assert!(told(&answer).ends_with("accepted: application/json, text/csv."), "{}", told(&answer));
    let json = |request: Request| request.header("Content-Type", "application/json");
    let me = || gateway.post("/me/x").customer(&gateway.customer_token());
    let answer = json(me()).header("Content-Encoding", "gzip").body("{}").send().expect(415, "415-01");
    assert_eq!(answer.header("Accept-Encoding"), Some("identity"));
    assert!(told(&answer).contains("encoded"));
    let answer =
        me().header("Content-Type", "application/json; charset=utf-16").body("{}").send().expect(415, "415-01");
    assert!(told(&answer).contains("UTF-8"));
    let answer = gateway.post("/auth/customer_authenticate").json("{}").send().expect(415, "415-01");
    assert_eq!(answer.header("Accept"), Some("application/x-www-form-urlencoded"));
    let answer = gateway.post("/oauth/access_token").json("{}").send().expect(400, "");
    assert_eq!(answer.header("Accept"), Some("application/x-www-form-urlencoded"));
    assert!(answer.json()["error_description"].as_str().unwrap().contains("x-www-form-urlencoded"));
    let answer = gateway.post("/oauth/access_token").form("grant_type=password").send().expect(400, "");
    assert_eq!(answer.json()["error"], "unsupported_grant_type");
    assert!(answer.json()["error_description"].as_str().unwrap().contains("accepted: client_credentials, urn:"));
    let system = || gateway.post("/system/x").bearer(&gateway.client_token());
    for request in [system().body("more than ten"), system().header("Transfer-Encoding", "chunked")] {
        let mut bytes = request.bytes();
        if request.body.is_none() {
            bytes.extend_from_slice(b"d\r\nmore than ten\r\n0\r\n\r\n");
        }
        let answer = gateway.connect().exchange(&bytes).unwrap().expect(413, "413-01");
        assert!(told(&answer).ends_with("the limit is 10 bytes."), "{}", told(&answer));
    }
    let answer = gateway.get("/key/x").send().expect(403, "403-01");
    assert_eq!(told(&answer), "An API key is required.");
    let answer = gateway.get("/key/x").api_key("unknown").send().expect(403, "403-01");
    assert_eq!(told(&answer), "The API key is not valid for this route.");
    gateway.get("/key/x").api_key(FREE_API_KEY).send().ok();
}
