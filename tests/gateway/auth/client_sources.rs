//! Where a client's credentials may stand on a route: `client_from`, `header_secrets`, the scheme of an API key.

use crate::harness::client::tls;
use crate::harness::client_certificates::Caller;
use crate::harness::config::{API_KEY, FREE_API_KEY};
use crate::harness::gateway::Workspace;
use crate::harness::keys::{argon2id, base64, sha256_hex};
use crate::harness::*;
use crate::websocket::tunnel::{backend, open, with_websockets};

const HEADER: &str = "X-Client-Secret";
const SECRET: &str = "wgs_5yQ1mJx0Zr7Qm2sT8vUe1LcKd6Rt0aXy9sWb2pLq8Vn";

fn all_ways(config: Config) -> Config {
    config.set("/clients/0/header_secrets", json!([sha256_hex(SECRET)])).route(
        "system",
        "client_from",
        json!(["bearer", "basic", {"header": HEADER}]),
    )
}

fn taking_with(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(all_ways(config)))
}

fn taking() -> (Backend, Gateway) {
    taking_with(|config| config)
}

fn basic_of(id: &str, secret: &str) -> String {
    format!("Basic {}", base64(format!("{id}:{secret}").as_bytes()))
}

fn basic(request: Request, id: &str, secret: &str) -> Request {
    request.header("Authorization", &basic_of(id, secret))
}

fn call(gateway: &Gateway) -> Request {
    gateway.get("/system/x")
}

/// The call is refused with this word.
#[track_caller]
fn refused(gateway: &Gateway, request: &Request, word: &str) -> Response {
    let answer = request.send();
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((answer.status >= 400, &line["refusal"]), (true, &json!(word)), "{}: {line}", answer.text());
    answer
}

fn hashes(gateway: &Gateway) -> f64 {
    gateway.metric("wicketgate_password_hashes_total", &[])
}

#[test]
fn a_client_calls_by_token_by_basic_or_by_a_secret_in_a_header() {
    let (backend, gateway) = taking_with(|config| {
        config.route("system", "scopes", json!(["profile"])).route(
            "system",
            "request_headers",
            json!({"set": {"X-Client": "${client.id}"}}),
        )
    });
    let calls = [
        call(&gateway).bearer(&gateway.client_token()),
        basic(call(&gateway), CLIENT.name, CLIENT.secret),
        call(&gateway).header("Authorization", &basic_of(CLIENT.name, CLIENT.secret).replace("Basic", "bASIC")),
        call(&gateway).header(HEADER, SECRET),
    ];
    for request in &calls {
        let answer = request.send().ok();
        assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["client"], CLIENT.name);
    }
    let got = backend.requests();
    assert!(got.iter().all(|seen| seen.header("X-Client") == Some(CLIENT.name)), "{got:?}");
    assert!(got.iter().all(|seen| seen.header("Authorization").is_none() && seen.header(HEADER).is_none()), "{got:?}");
    // A client without the scope.
    basic(call(&gateway), OTHER_CLIENT.name, OTHER_CLIENT.secret).send().expect(403, "403-02");
    // A route that does not say so takes neither.
    let (backend, gateway) = taking_with(|config| config.route("key", "require", json!(["client"])));
    for request in
        [basic(gateway.get("/key/x"), CLIENT.name, CLIENT.secret), gateway.get("/key/x").header(HEADER, SECRET)]
    {
        assert_eq!(request.send().status, 401);
    }
    backend.assert_untouched();
}

#[test]
fn a_secret_by_basic_costs_a_hash_once() {
    let (_backend, gateway) = taking();
    let before = hashes(&gateway);
    for _ in 0..20 {
        basic(call(&gateway), CLIENT.name, CLIENT.secret).send().ok();
    }
    assert_eq!(hashes(&gateway) - before, 1.0);
    let answers: Vec<u16> = (0..5).map(|_| basic(call(&gateway), CLIENT.name, "another").send().status).collect();
    assert_eq!((answers, hashes(&gateway) - before), (vec![401; 5], 2.0), "nor does one that is wrong");
    for _ in 0..3 {
        basic(call(&gateway), CLIENT.name, CLIENT.secret).send().ok();
    }
    assert_eq!(hashes(&gateway) - before, 2.0);
    // One that came to the token endpoint is known as well.
    gateway.token(OTHER_CLIENT);
    let known = hashes(&gateway);
    basic(call(&gateway), OTHER_CLIENT.name, OTHER_CLIENT.secret).send().ok();
    assert_eq!(hashes(&gateway), known);
}

#[test]
fn a_wrong_secret_is_401_and_the_challenges_name_all_ways() {
    let (backend, gateway) = taking();
    let own = [r#"Basic realm="client", charset="UTF-8""#, r#"Secret realm="client", header="x-client-secret""#];
    for (request, word) in [
        (basic(call(&gateway), CLIENT.name, "wrong"), "wrong_client_secret"),
        (basic(call(&gateway), "nobody", CLIENT.secret), "unknown_client"),
        (basic(call(&gateway), CLIENT.name, OTHER_CLIENT.secret), "wrong_client_secret"),
        (basic(call(&gateway), CLIENT.name, SECRET), "wrong_client_secret"),
        (call(&gateway).header("Authorization", "Basic ???"), "client_authentication_malformed"),
        (call(&gateway).header("Authorization", "Basic "), "client_authentication_malformed"),
        (call(&gateway).header(HEADER, "wrong"), "unknown_client"),
        (call(&gateway).header(HEADER, ""), "unknown_client"),
        (call(&gateway).header(HEADER, CLIENT.secret), "unknown_client"),
        (call(&gateway).header(HEADER, &sha256_hex(SECRET)), "unknown_client"),
        (call(&gateway), "no_credential"),
    ] {
        let answer = refused(&gateway, &request, word);
        assert_eq!(answer.status, 401, "{word}");
        assert_eq!(answer.all("WWW-Authenticate"), [&["Bearer"], &own[..]].concat(), "{word}");
    }
    let answer = refused(&gateway, &call(&gateway).bearer("a.b.c"), "client_token_malformed");
    assert_eq!(answer.all("WWW-Authenticate"), [&[r#"Bearer error="invalid_token""#], &own[..]].concat());
    let known = gateway.get("/me/x").send().expect(401, "401-10");
    assert_eq!(known.all("WWW-Authenticate"), ["Bearer"], "other routes say what they always said");
    backend.assert_untouched();
    let (_backend, gateway) = taking_with(|config| config.route("system", "client_from", json!(["basic"])));
    assert_eq!(call(&gateway).send().expect(401, "401-10").all("WWW-Authenticate"), own[..1]);
    let token = gateway.client_token();
    refused(&gateway, &call(&gateway).bearer(&token), "client_authentication_malformed");
    refused(&gateway, &call(&gateway).header(HEADER, SECRET), "no_credential");
}

#[test]
fn two_credentials_of_a_client_in_one_call_are_400() {
    let (backend, gateway) = taking();
    let token = gateway.client_token();
    for request in [
        basic(call(&gateway), CLIENT.name, CLIENT.secret).header(HEADER, SECRET),
        call(&gateway).bearer(&token).header(HEADER, SECRET),
        call(&gateway).bearer(&token).header(HEADER, "wrong"),
    ] {
        refused(&gateway, &request, "credential_conflict").expect(400, "400-02");
    }
    for request in [
        basic(basic(call(&gateway), CLIENT.name, CLIENT.secret), CLIENT.name, CLIENT.secret),
        basic(call(&gateway), CLIENT.name, CLIENT.secret).bearer(&token),
        call(&gateway).header(HEADER, SECRET).header(HEADER, SECRET),
    ] {
        refused(&gateway, &request, "credential_repeated").expect(400, "400-02");
    }
    backend.assert_untouched();
}

#[test]
fn wrong_secrets_by_basic_lock_out_their_network_and_nobody_else() {
    let (_backend, gateway) = taking_with(|config| {
        config
            .set("/access_token/attempts", json!({"free": 3, "free_per_address": 100, "delay": "1h", "longest": "1h"}))
            .set("/listen/0/trusted_proxies", json!(["127.0.0.1/32"]))
    });
    let from =
        |address: &str, secret: &str| basic(call(&gateway), CLIENT.name, secret).header("X-Forwarded-For", address);
    let mut seen = Vec::new();
    for number in 0..12 {
        let answer = from("198.51.100.7", &format!("wrong-{number}")).send();
        seen.push(answer.status);
        if answer.status == 429 {
            assert!(answer.retry_after() > 60, "{}", answer.retry_after());
        }
    }
    assert!(seen[0] == 401 && seen[11] == 429, "{seen:?}");
    // The token endpoint counts with it.
    let ask = gateway.token_request(CLIENT.name, "wrong-again").header("X-Forwarded-For", "198.51.100.7").send();
    assert_eq!(ask.status, 429);
    // The client itself is elsewhere.
    from("203.0.113.9", CLIENT.secret).send().ok();
    from("203.0.113.9", CLIENT.secret).send().ok();
    // What is in a header is no guess.
    call(&gateway).header(HEADER, SECRET).header("X-Forwarded-For", "198.51.100.7").send().ok();
}

#[test]
fn a_changed_an_expired_and_a_revoked_secret_end_at_once() {
    let (backend, gateway) = taking();
    let config = |change: &dyn Fn(Config) -> Config| {
        let mut config = change(all_ways(Config::new(&backend)));
        config.signing_key = gateway.signing_key.clone();
        config
    };
    let (by_basic, by_header) =
        (basic(call(&gateway), CLIENT.name, CLIENT.secret), call(&gateway).header(HEADER, SECRET));
    by_basic.send().ok();
    by_header.send().ok();
    let changed = config(&|c| {
        c.set("/clients/0/secrets", json!([argon2id("another")]))
            .set("/clients/0/header_secrets", json!([sha256_hex("another")]))
    });
    gateway.reload(&changed, "reloaded");
    refused(&gateway, &by_basic, "wrong_client_secret");
    refused(&gateway, &by_header, "unknown_client");
    let ended = config(&|c| {
        let past = "until 2020-01-01T00:00:00Z";
        c.set("/clients/0/secrets", json!([format!("{} {past}", argon2id(CLIENT.secret)), argon2id("another")]))
            .set("/clients/0/header_secrets", json!([format!("{} {past}", sha256_hex(SECRET))]))
    });
    gateway.reload(&ended, "reloaded");
    refused(&gateway, &by_basic, "wrong_client_secret");
    refused(&gateway, &by_header, "wrong_client_secret");
    gateway.reload(&config(&|c| c), "reloaded");
    by_basic.send().ok();
    by_header.send().ok();
    let file = gateway.files.config();
    let said = gateway.files.succeeds(&["revoke", "client", CLIENT.name, "--config", file.to_str().unwrap()]);
    for request in [&by_basic, &by_header] {
        let answer = refused(&gateway, request, "client_token_revoked");
        assert!(!answer.text().contains("token"), "none was shown: {}", answer.text());
        assert_eq!(answer.all("WWW-Authenticate").first(), Some(&"Bearer"));
    }
    // A new token is given all the same, and the command says so.
    assert!(said.contains("It can still get new access tokens"), "{said}");
    gateway.get("/system/x").bearer(&gateway.token(CLIENT)).send().ok();
    assert!(!gateway.stderr.all().join("\n").contains(SECRET));
}

#[test]
fn a_secret_in_a_header_reaches_no_backend_in_any_spelling() {
    let (backend, gateway) = taking();
    for name in [HEADER, "x-client-secret", "x_client_secret", "X-CLIENT_SECRET", "x.client.secret"] {
        for path in ["/system/x", "/public/x", "/key/x"] {
            gateway.get(path).header(name, SECRET).api_key(FREE_API_KEY).send();
        }
    }
    let got = format!("{:?}", backend.requests());
    assert!(got.contains("/public/x") && got.contains("/system/x") && !got.contains(SECRET), "{got}");
    // Unless the route forwards what its callers show.
    let (backend, gateway) = taking_with(|config| config.route("system", "forward_credentials", json!(["client"])));
    call(&gateway).header(HEADER, SECRET).send().ok();
    assert_eq!(backend.requests()[0].header(HEADER), Some(SECRET));
}

#[test]
fn a_secret_in_a_header_never_comes_by_plain_http() {
    let (backend, gateway) = taking_with(|config| {
        let tls = config.yaml["listen"][0].clone();
        config.set("/listen", json!([tls, {"address": "127.0.0.1:0", "redirect": "https://api.example.com:8443"}]))
    });
    let plain = gateway.stderr.wait(|line| {
        line["message"] == "listening" && line["role"] == "gateway" && line["address"] != gateway.address.to_string()
    });
    let plain: std::net::SocketAddr = plain.unwrap()["address"].as_str().unwrap().parse().unwrap();
    for name in [HEADER, "x_client_secret", "Authorization"] {
        let request = Request::new(plain, "GET", "/system/x").header(name, SECRET);
        request.send_on(&mut Connection::plain(plain)).expect(403, "403-06");
    }
    backend.assert_untouched();
}

#[test]
fn a_client_that_is_held_to_its_certificate_shows_it_beside_its_secret() {
    for entry in [
        json!({"certificate": {"subject": CLIENT.name}}),
        json!({"certificate_bound_tokens": true, "tls_client_auth": {"subject": CLIENT.name}}),
    ] {
        let (backend, gateway) = taking_with(|mut config| {
            config.yaml["clients"][0].as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
            config
                .set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
                .set("/listen/0/tls/client_certificate", json!("optional"))
        });
        let calls = [basic(call(&gateway), CLIENT.name, CLIENT.secret), call(&gateway).header(HEADER, SECRET)];
        let with = |name: &str| {
            let identity = Caller::named(name).pair();
            Connection::with(gateway.address, tls(b"http/1.1", Some(&identity))).unwrap()
        };
        for request in &calls {
            refused(&gateway, request, "other_certificate").expect(403, "403-09");
            request.send_on(&mut with("other")).expect(403, "403-09");
            backend.assert_untouched();
            request.send_on(&mut with(CLIENT.name)).ok();
            backend.forget();
        }
        basic(call(&gateway), OTHER_CLIENT.name, OTHER_CLIENT.secret).send().ok();
    }
}

#[test]
fn an_api_key_and_a_customer_stand_beside_a_client_that_shows_a_secret() {
    let (_backend, gateway) =
        taking_with(|config| config.route("profile", "client_from", json!(["basic", {"header": HEADER}])));
    let profile = || gateway.post("/account/x").customer(&gateway.customer_token()).api_key(API_KEY).json("{}");
    basic(profile(), CLIENT.name, CLIENT.secret).send().ok();
    profile().header(HEADER, SECRET).send().ok();
    refused(&gateway, &basic(profile(), OTHER_CLIENT.name, OTHER_CLIENT.secret), "api_key_client");
    // The key is asked for first: without it no secret is hashed.
    let before = hashes(&gateway);
    let request = basic(gateway.post("/account/x").json("{}"), CLIENT.name, "unseen");
    refused(&gateway, &request, "api_key_missing");
    assert_eq!(hashes(&gateway), before);
}

#[test]
fn a_strange_page_cannot_use_the_secret_that_a_browser_sends_along() {
    let (backend, gateway) = taking_with(|config| {
        config.cookies("cookie").route("me", "require", json!(["client", "customer"])).route(
            "me",
            "client_from",
            json!(["basic", {"header": HEADER}]),
        )
    });
    let login = gateway.login_request(ALICE.name, ALICE.secret).send();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let strange =
        |request: Request| request.header("Origin", "https://evil.example").header("Sec-Fetch-Site", "cross-site");
    let own = |request: Request| request.header("Sec-Fetch-Site", "same-origin");
    let alone = || basic(gateway.post("/system/x"), CLIENT.name, CLIENT.secret);
    let beside = || basic(gateway.post("/me/x"), CLIENT.name, CLIENT.secret).header("Cookie", &cookie);
    refused(&gateway, &strange(alone()), "cross_site").expect(403, "403-05");
    refused(&gateway, &strange(beside()), "cross_site").expect(403, "403-05");
    refused(&gateway, &beside(), "cross_site").expect(403, "403-05");
    backend.assert_untouched();
    // Programs say nothing of pages; and what a page cannot send along speaks for itself.
    alone().send().ok();
    own(alone()).send().ok();
    own(beside()).send().ok();
    strange(gateway.post("/system/x").header(HEADER, SECRET)).send().ok();
    strange(gateway.post("/me/x").header(HEADER, SECRET).header("Cookie", &cookie)).send().ok();
}

#[test]
fn a_route_with_an_audience_takes_secrets_of_clients_that_have_it() {
    const REPORTS: &str = "https://reports.example.com";
    let (_backend, gateway) = taking_with(|config| {
        config.route("system", "audience", json!(REPORTS)).set("/clients/1/audiences", json!([REPORTS]))
    });
    basic(call(&gateway), OTHER_CLIENT.name, OTHER_CLIENT.secret).send().ok();
    refused(&gateway, &basic(call(&gateway), CLIENT.name, CLIENT.secret), "client_token_audience");
    refused(&gateway, &call(&gateway).header(HEADER, SECRET), "client_token_audience");
}

#[test]
fn secrets_need_no_token_endpoint() {
    let (_backend, gateway) = taking_with(|config| config.without("/access_token"));
    basic(call(&gateway), CLIENT.name, CLIENT.secret).send().ok();
    gateway.token_request(CLIENT.name, CLIENT.secret).send().expect(404, "404-01");
}

#[test]
fn a_route_that_only_observes_says_whose_secret_is_wrong() {
    let (backend, gateway) = taking_with(|config| config.route("system", "mode", json!("observe")));
    for (request, word) in [
        (basic(call(&gateway), CLIENT.name, "wrong"), "wrong_client_secret"),
        (call(&gateway).header(HEADER, "wrong"), "unknown_client"),
        (call(&gateway), "no_credential"),
    ] {
        let answer = request.send().ok();
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["observed"], word, "{line}");
    }
    let answer = basic(call(&gateway), CLIENT.name, CLIENT.secret).send().ok();
    assert!(gateway.access_line(answer.header("X-Request-Id").unwrap())["observed"].is_null());
    assert_eq!(backend.requests().len(), 4);
}

#[test]
fn a_websocket_that_was_opened_by_basic_ends_when_its_client_is_revoked() {
    let (address, backend) = backend();
    let config = all_ways(with_websockets(Config::with_server(&format!("http://{address}"))));
    let gateway = Gateway::start(&config.route("system", "websocket", json!(true)).route(
        "system",
        "limits",
        json!({"recheck": "200ms"}),
    ));
    let request = basic(gateway.get("/system/live"), CLIENT.name, CLIENT.secret);
    let (mut caller, _opened) = open(&gateway, &backend, request);
    let file = gateway.files.config();
    gateway.files.succeeds(&["revoke", "client", CLIENT.name, "--config", file.to_str().unwrap()]);
    assert!(caller.closes());
}

#[test]
fn an_api_key_may_stand_behind_a_scheme_in_any_case_with_spaces() {
    let (backend, gateway) = world_with(|config| {
        config.route("key", "api_key_header", json!({"name": "Authorization", "scheme": "ApiKey"}))
    });
    let key = |value: &str| gateway.get("/key/x").header("Authorization", value);
    for good in ["ApiKey ", "apikey ", "APIKEY   "] {
        key(&format!("{good}{FREE_API_KEY}")).send().ok();
    }
    assert!(!format!("{:?}", backend.requests()).contains(FREE_API_KEY));
    backend.forget();
    for (wrong, word) in [
        (FREE_API_KEY.to_owned(), "api_key_missing"),
        (format!("Bearer {FREE_API_KEY}"), "api_key_missing"),
        (format!("ApiKey{FREE_API_KEY}"), "api_key_missing"),
        (format!("ApiKey\t{FREE_API_KEY}"), "api_key_missing"),
        ("ApiKey".to_owned(), "api_key_missing"),
        (format!("ApiKey ApiKey {FREE_API_KEY}"), "api_key_unknown"),
        (format!("ApiKey {FREE_API_KEY}x"), "api_key_unknown"),
    ] {
        refused(&gateway, &key(&wrong), word);
    }
    refused(&gateway, &gateway.get("/key/x").api_key(FREE_API_KEY), "api_key_missing");
    backend.assert_untouched();
}

#[test]
fn check_refuses_places_that_cannot_be_told_apart() {
    let backend = Backend::start();
    let checked = |change: &dyn Fn(Config) -> Config| {
        let (code, _, complained) = Workspace::new(&change(all_ways(Config::new(&backend)))).run(&["check"]);
        (code, complained)
    };
    let (code, complained) = checked(&|config| config);
    assert_eq!(code, 0, "{complained}");
    type Change = fn(Config) -> Config;
    let faults: [(Change, &str); 13] = [
        (|c| c.route("system", "client_from", json!([])), "client_from"),
        (|c| c.route("system", "client_from", json!(["basic", "basic"])), "client_from[1]"),
        (|c| c.route("system", "client_from", json!(["digest"])), "client_from"),
        (|c| c.route("system", "client_from", json!([{"header": "Authorization"}])), "client_from[0].header"),
        (|c| c.route("system", "client_from", json!([{"header": "Cookie"}])), "client_from[0].header"),
        (|c| c.route("system", "client_from", json!([{"header": "api-key"}])), "client_from[0].header"),
        (|c| c.route("me", "client_from", json!(["basic"])), "client_from"),
        (|c| c.route("system", "dpop", json!("required")), "client_from"),
        (|c| c.set("/clients/0/header_secrets", json!([SECRET])), "header_secrets[0]"),
        (|c| c.set("/clients/1/header_secrets", json!([sha256_hex(SECRET)])), "header_secrets[0]"),
        (|c| c.route("key", "api_key_header", json!("Authorization")), "api_key_header"),
        (|c| c.route("key", "api_key_header", json!({"name": "Authorization", "scheme": "Bearer"})), "api_key_header"),
        (
            |c| c.route("profile", "api_key_header", json!({"name": "Authorization", "scheme": "ApiKey"})),
            "api_key_header",
        ),
    ];
    for (change, key) in faults {
        let (code, complained) = checked(&change);
        assert!(code != 0 && complained.contains(key), "{key}: {complained}");
        assert!(!complained.contains(SECRET), "no secret is repeated");
    }
}

#[test]
fn new_makes_a_secret_for_a_header_and_its_digest() {
    let files = Workspace::new(&Config::new(&Backend::start()));
    let said = files.succeeds(&["new", "header-secret"]);
    let secret = said.lines().map(str::trim).find(|line| line.starts_with("wgs_")).unwrap();
    assert!(said.contains(&format!("header_secrets: [ {} ]", sha256_hex(secret))), "{said}");
    let (_backend, gateway) =
        taking_with(|config| config.set("/clients/0/header_secrets", json!([sha256_hex(secret)])));
    call(&gateway).header(HEADER, secret).send().ok();
}
