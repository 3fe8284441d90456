//! Opaque tokens, introspected at their issuer (RFC 7662).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::identity_provider::{IdentityProvider, token};
use crate::harness::keys::{TokenKey, base64, decode, now};
use crate::harness::login_page::{OpenForm, code, query, with_codes};
use crate::harness::*;
use crate::websocket::tunnel;

const ISSUER: &str = "https://login.example.com";
const SECRET: &str = "s3cret&of+the=gateway";

/// What the endpoint does with a question.
#[derive(Clone)]
enum Reply {
    Json(u16, Value),
    Hang(Gate),
    Close,
}

#[derive(Default)]
struct Oracle {
    known: HashMap<String, Reply>,
    /// For all other tokens.
    otherwise: Option<Reply>,
    /// Heads and forms of all questions.
    asked: Vec<(String, HashMap<String, String>)>,
}

/// An introspection endpoint.
struct Endpoint {
    address: SocketAddr,
    oracle: Arc<Mutex<Oracle>>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let oracle = Arc::<Mutex<Oracle>>::default();
        let shared = Arc::clone(&oracle);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { address, oracle }
    }

    fn on(&self, token: &str, reply: Reply) {
        self.oracle.lock().unwrap().known.insert(token.to_owned(), reply);
    }

    fn otherwise(&self, reply: Reply) {
        self.oracle.lock().unwrap().otherwise = Some(reply);
    }

    /// This token is good, with these members beside the usual ones.
    fn knows(&self, token: &str, subject: &str, more: &Value) {
        self.on(token, Reply::Json(200, active(subject, more)));
    }

    fn asked(&self) -> Vec<(String, HashMap<String, String>)> {
        self.oracle.lock().unwrap().asked.clone()
    }

    fn asked_about(&self, token: &str) -> usize {
        self.asked().iter().filter(|(_, form)| form["token"] == token).count()
    }
}

fn active(subject: &str, more: &Value) -> Value {
    let mut claims = json!({
        "active": true, "iss": ISSUER, "aud": "legacy-api", "sub": subject, "exp": now() + 600, "iat": now(),
        "token_type": "Bearer",
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn answer(mut stream: TcpStream, oracle: &Mutex<Oracle>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (head, form) = loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| percent_decoded(&text.replace('+', " "));
    let form: HashMap<String, String> = pairs.map(|(name, value)| (plain(name), plain(value))).collect();
    let token = form.get("token").cloned().unwrap_or_default();
    let reply = {
        let mut oracle = oracle.lock().unwrap();
        oracle.asked.push((head, form));
        oracle.known.get(&token).or(oracle.otherwise.as_ref()).cloned()
    };
    match reply.unwrap_or_else(|| Reply::Json(200, json!({"active": false}))) {
        Reply::Json(status, document) => {
            let body = document.to_string();
            let head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).ok();
        }
        Reply::Hang(gate) => gate.wait(),
        Reply::Close => {}
    }
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn entry(endpoint: &Endpoint) -> Value {
    json!({
        "issuer": ISSUER, "audiences": ["legacy-api"], "refresh": {"timeout": "2s"},
        "introspection": {
            "url": format!("http://{}/introspect", endpoint.address), "client_id": "gate:way",
            "client_secret": {"file": "certs/introspection"},
        },
    })
}

fn asking(config: Config, entries: &[Value]) -> Config {
    config.set("/trusted_issuers", json!(entries)).file("certs/introspection", SECRET)
}

/// A gateway that asks this endpoint.
fn gateway_with(endpoint: &Endpoint, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(asking(config, &[entry(endpoint)])))
}

#[track_caller]
fn answered(gateway: &Gateway, token: &str) -> (u16, String) {
    let answer = gateway.get("/me/x").customer(token).send();
    let line = gateway.access_line(answer.header("x-request-id").unwrap());
    (answer.status, line["refusal"].as_str().unwrap_or_default().to_owned())
}

#[track_caller]
fn status(gateway: &Gateway, token: &str) -> u16 {
    answered(gateway, token).0
}

fn no_more() -> Value {
    json!({})
}

#[test]
fn an_opaque_token_is_good_while_its_issuer_says_so_and_the_issuer_is_asked_once() {
    let endpoint = Endpoint::start();
    let (backend, gateway) = gateway_with(&endpoint, |config| config);
    let opaque = "2YotnFZFEjr1zCsicMWpAA~._-+/==";
    endpoint.knows(opaque, "ann", &no_more());
    for _ in 0..20 {
        assert_eq!(answered(&gateway, opaque), (200, String::new()));
    }
    let asked = endpoint.asked();
    assert_eq!(asked.len(), 1);
    let (head, form) = &asked[0];
    let basic = format!("authorization: basic {}", base64(b"gate%3Away:s3cret%26of%2Bthe%3Dgateway").to_lowercase());
    assert!(head.starts_with("POST /introspect HTTP/1.1\r\n") && head.to_lowercase().contains(&basic), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/x-www-form-urlencoded"), "{head}");
    assert_eq!((form["token"].as_str(), form["token_type_hint"].as_str(), form.len()), (opaque, "access_token", 2));
    backend.forget();
    assert_eq!(answered(&gateway, "another"), (401, "customer_token_inactive".to_owned()));
    backend.assert_untouched();
    gateway.expect_metric("wicketgate_introspections_total", &[("issuer", ISSUER), ("outcome", "active")], 1.0);
    gateway.expect_metric("wicketgate_introspections_total", &[("issuer", ISSUER), ("outcome", "inactive")], 1.0);
    let said = [gateway.stderr.all(), gateway.stdout.all()].concat().join("\n");
    assert!(!said.contains(opaque) && !said.contains("s3cret"), "{said}");
}

#[test]
fn the_identifier_is_the_same_as_by_a_jwt_of_this_issuer() {
    let key = TokenKey::generate();
    let (endpoint, provider) = (Endpoint::start(), IdentityProvider::start(&[key.jwk("one")]));
    let mut both = entry(&endpoint);
    both["jwks"] = json!(provider.jwks_url());
    both["algorithms"] = json!(["ES256"]);
    let (backend, gateway) = world_with(|config| asking(config, &[both]));
    endpoint.knows("opaque", "ann", &no_more());
    let seen = |token: &str| {
        assert_eq!(status(&gateway, token), 200);
        backend.last().header("X-Customer-Id").or(backend.last().header("identifier")).map(str::to_owned)
    };
    let jwt = token(&key, "one", ISSUER, "ann");
    assert_eq!(seen("opaque"), seen(&jwt));
    // With keys, JWTs go by the keys and are shown to nobody.
    let stranger = token(&TokenKey::generate(), "one", ISSUER, "ann");
    assert_eq!(status(&gateway, &stranger), 401);
    assert_eq!(endpoint.asked().len(), 1);
}

#[test]
fn the_claims_of_the_answer_are_checked_as_those_of_a_jwt() {
    let endpoint = Endpoint::start();
    let (backend, gateway) = gateway_with(&endpoint, |config| {
        config
            .set("/trusted_issuers/0/claims", json!({"tid": {"equals": "acme"}}))
            .set("/trusted_issuers/0/max_lifetime", json!("1h"))
    });
    let good = json!({"tid": "acme"});
    endpoint.knows("good", "ann", &good);
    endpoint.knows("no-iss", "ann", &json!({"tid": "acme", "iss": null}));
    for token in ["good", "no-iss"] {
        assert_eq!(answered(&gateway, token), (200, String::new()), "{token}");
    }
    backend.forget();
    for (number, (more, word)) in [
        (json!({"tid": "acme", "iss": "https://other.example.com"}), "issuer"),
        (json!({"tid": "acme", "iss": 7}), "issuer"),
        (json!({"tid": "acme", "aud": "other"}), "audience"),
        (json!({"tid": "acme", "aud": null}), "audience"),
        (json!({"tid": "acme", "exp": now() - 600}), "expired"),
        (json!({"tid": "acme", "exp": null}), "malformed"),
        (json!({"tid": "acme", "nbf": now() + 600}), "not_yet_valid"),
        (json!({"tid": "acme", "iat": now() + 600}), "not_yet_valid"),
        (json!({"tid": "acme", "exp": now() + 7200}), "lifetime"),
        (json!({"tid": "acme", "sub": null}), "subject"),
        (json!({"tid": "acme", "sub": ""}), "subject"),
        (json!({"tid": "other"}), "claim"),
        (json!({"tid": "acme", "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}), "binding"),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("wrong-{number}");
        endpoint.knows(&token, "ann", &more);
        let (status, refusal) = answered(&gateway, &token);
        assert_eq!((status, refusal), (401, format!("customer_token_{word}")), "{more}");
    }
    backend.assert_untouched();
}

#[test]
fn an_answer_that_is_none_is_503_and_is_not_kept() {
    let endpoint = Endpoint::start();
    let (backend, gateway) = gateway_with(&endpoint, |config| config);
    let mut text = active("ann", &no_more());
    text["active"] = json!("true");
    let mut number = text.clone();
    number["active"] = json!(1);
    for (index, (reply, outcome)) in [
        (Reply::Json(200, text), "json"),
        (Reply::Json(200, number), "json"),
        (Reply::Json(200, json!({"sub": "ann"})), "json"),
        (Reply::Json(200, json!([active("ann", &no_more())])), "json"),
        (Reply::Json(401, json!({"error": "invalid_client"})), "unauthorized"),
        (Reply::Json(500, active("ann", &no_more())), "status"),
        (Reply::Close, "broken"),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("token-{index}");
        endpoint.on(&token, reply);
        let answer = gateway.get("/me/x").customer(&token).send();
        assert_eq!((answer.status, answer.code().as_str()), (503, "503-04"), "{index}");
        let line = gateway.access_line(answer.header("x-request-id").unwrap());
        assert_eq!(line["refusal"], "customer_token_introspection");
        assert!(gateway.metric("wicketgate_introspections_total", &[("outcome", outcome)]) >= 1.0, "{index}");
        backend.assert_untouched();
        endpoint.knows(&token, "ann", &no_more());
        assert_eq!(status(&gateway, &token), 200, "the next question is asked");
        backend.forget();
    }
    assert!(!gateway.stderr.all().join("\n").contains("token-"));
}

#[test]
fn an_issuer_that_is_away_stops_neither_the_start_nor_others_and_is_told() {
    let endpoint = Endpoint::start();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut away = entry(&endpoint);
    away["introspection"]["url"] = json!(format!("http://{nobody}/introspect"));
    let (_backend, gateway) = world_with(|config| asking(config, &[away]));
    assert_eq!(gateway.admin("/readyz").text(), "ok\n");
    assert_eq!(answered(&gateway, "opaque"), (503, "customer_token_introspection".to_owned()));
    assert_eq!(gateway.admin("/readyz").text(), format!("ok\ndegraded: issuer:{ISSUER}\n"));
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    let (code, out, err) = gateway.files.run(&["check", "--connect", "--config", "gateway.yaml"]);
    assert!(code != 0 && out.contains(&format!("introspection of issuer {ISSUER}: ")), "{out}{err}");
    // A name that leads nowhere is the same.
    let mut nameless = entry(&endpoint);
    nameless["introspection"]["url"] = json!("https://nowhere.invalid/introspect");
    let (_backend, gateway) = world_with(|config| asking(config, &[nameless]));
    assert_eq!(status(&gateway, "opaque"), 503);
}

#[test]
fn a_revocation_at_the_issuer_counts_once_the_answer_is_too_old() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) =
        gateway_with(&endpoint, |config| config.set("/trusted_issuers/0/introspection/cache", json!("2s")));
    endpoint.knows("opaque", "ann", &no_more());
    assert_eq!(status(&gateway, "opaque"), 200);
    endpoint.on("opaque", Reply::Json(200, json!({"active": false})));
    assert_eq!(status(&gateway, "opaque"), 200, "the answer is kept");
    eventually("the issuer is asked again", || status(&gateway, "opaque") == 401);
    // Never longer than `exp`, and with `cache: 0s` each time.
    let (_backend, gateway) =
        gateway_with(&endpoint, |config| config.set("/trusted_issuers/0/introspection/cache", json!("0s")));
    endpoint.knows("fresh", "ann", &no_more());
    for _ in 0..3 {
        assert_eq!(status(&gateway, "fresh"), 200);
    }
    assert_eq!(endpoint.asked_about("fresh"), 3);
    endpoint.on("fresh", Reply::Json(200, json!({"active": false})));
    assert_eq!(status(&gateway, "fresh"), 401);
}

#[test]
fn a_token_is_good_no_longer_than_its_exp_whatever_the_cache() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) =
        gateway_with(&endpoint, |config| config.set("/trusted_issuers/0/clock_skew", json!("0s")));
    endpoint.knows("short", "ann", &json!({"exp": now() + 3}));
    assert_eq!(status(&gateway, "short"), 200);
    eventually("it expires", || answered(&gateway, "short") == (401, "customer_token_expired".to_owned()));
    assert_eq!(endpoint.asked_about("short"), 1, "nobody is asked about what is known to have expired");
}

#[test]
fn fifty_callers_with_one_token_cause_one_question_for_all_workers() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) = gateway_with(&endpoint, |config| config.set("/workers", json!(4)));
    let gate = Gate::default();
    endpoint.on("opaque", Reply::Hang(gate.clone()));
    let address = gateway.address;
    let callers: Vec<_> = (0..50)
        .map(|_| thread::spawn(move || Request::new(address, "GET", "/me/x").customer("opaque").send().status))
        .collect();
    eventually("the question", || !endpoint.asked().is_empty());
    endpoint.knows("opaque", "ann", &no_more());
    gate.open();
    let statuses: Vec<u16> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    // The one that hung was closed without an answer; nobody who came with it asked beside it.
    assert!(statuses.iter().all(|status| *status == 503 || *status == 200), "{statuses:?}");
    for _ in 0..40 {
        assert_eq!(status(&gateway, "opaque"), 200);
    }
    assert!(endpoint.asked().len() <= 2, "{}", endpoint.asked().len());
}

#[test]
fn a_flood_of_tokens_that_nobody_issued_has_a_limit_and_drives_out_no_good_one() {
    const AT_ONCE: usize = 200;
    let endpoint = Endpoint::start();
    let (_backend, gateway) = gateway_with(&endpoint, |config| {
        // However slow the machine, neither an answer nor a question ends before the test does.
        let config = config.set("/trusted_issuers/0/introspection/cache", json!("1h"));
        config.set("/trusted_issuers/0/refresh/timeout", json!("60s"))
    });
    endpoint.knows("good", "ann", &no_more());
    assert_eq!(status(&gateway, "good"), 200);
    let gate = Gate::default();
    endpoint.otherwise(Reply::Hang(gate.clone()));
    let address = gateway.address;
    let flood: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            thread::spawn(move || {
                Request::new(address, "GET", "/me/x").customer(&format!("random{number}")).send_patiently().status
            })
        })
        .collect();
    eventually("the share is full", || {
        gateway.metric("wicketgate_introspections_total", &[("outcome", "busy")]) >= 100.0
    });
    let running = endpoint.asked().len() - 1;
    assert!(running <= 8, "{running} questions of one address at once");
    for _ in 0..20 {
        assert_eq!(status(&gateway, "good"), 200, "what is known is served all the while");
    }
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    gate.open();
    let statuses: Vec<u16> = flood.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    endpoint.otherwise(Reply::Json(200, json!({"active": false})));
    endpoint.knows("next", "bob", &no_more());
    eventually("the places are given back", || status(&gateway, "next") == 200);
    for number in 0..500 {
        assert_eq!(gateway.get("/me/x").customer(&format!("flood{number}")).send().status, 401);
    }
    assert_eq!(status(&gateway, "good"), 200);
    assert_eq!(endpoint.asked_about("good"), 1);
}

#[test]
fn a_caller_that_hangs_up_leaves_its_question_to_who_waits() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) = gateway_with(&endpoint, |config| config.set("/workers", json!(1)));
    let gate = Gate::default();
    endpoint.on("opaque", Reply::Hang(gate.clone()));
    let mut gone = gateway.connect();
    gone.send(&Request::new(gateway.address, "GET", "/me/x").customer("opaque").bytes());
    eventually("the question", || endpoint.asked_about("opaque") == 1);
    let address = gateway.address;
    let waiting = thread::spawn(move || Request::new(address, "GET", "/me/x").customer("opaque").send().status);
    endpoint.knows("opaque", "ann", &no_more());
    let begun = Instant::now();
    drop(gone);
    assert_eq!(waiting.join().unwrap(), 200);
    assert!(begun.elapsed() < Duration::from_secs(10));
    gate.open();
}

#[test]
fn a_jwt_of_an_issuer_without_keys_is_asked_about_and_never_believed() {
    let endpoint = Endpoint::start();
    let (backend, gateway) = gateway_with(&endpoint, |config| config);
    let key = TokenKey::generate();
    let good = token(&key, "any", ISSUER, "ann");
    endpoint.knows(&good, "ann", &no_more());
    assert_eq!(status(&gateway, &good), 200);
    backend.forget();
    let forged = token(&key, "any", ISSUER, "bob");
    assert_eq!(answered(&gateway, &forged), (401, "customer_token_inactive".to_owned()));
    // One of another issuer is shown to nobody.
    let other = token(&key, "any", "https://other.example.com", "ann");
    assert_eq!(answered(&gateway, &other), (401, "customer_token_issuer".to_owned()));
    backend.assert_untouched();
    assert_eq!(endpoint.asked_about(&other), 0);
    // What is ours is shown to nobody either.
    let own = gateway.customer_token();
    assert_eq!(status(&gateway, &own), 200);
    for secret in ["wgr_0123456789", "wgk_0123456789", "wgs_0123456789"] {
        assert_eq!(answered(&gateway, secret), (401, "customer_token_malformed".to_owned()));
    }
    assert!(endpoint.asked().iter().all(|(_, form)| form["token"] != own && !form["token"].starts_with("wg")));
    // Nor what is longer than a token.
    let long = "x".repeat(17_000);
    let body = json!({"token": long}).to_string();
    let (_backend, gateway) =
        gateway_with(&endpoint, |config| config.route("me", "customer_token_sources", json!([{"body": "/token"}])));
    let answer = gateway.post("/me/x").json(&body).send();
    let line = gateway.access_line(answer.header("x-request-id").unwrap());
    assert_eq!((answer.status, &line["refusal"]), (401, &json!("customer_token_too_long")));
    assert_eq!(endpoint.asked_about(&long), 0);
}

#[test]
fn several_issuers_are_asked_in_their_order_until_one_knows_the_token() {
    let (first, second) = (Endpoint::start(), Endpoint::start());
    let mut next = entry(&second);
    next["issuer"] = json!("https://second.example.com");
    let (_backend, gateway) = world_with(|config| asking(config, &[entry(&first), next]));
    first.knows("of-first", "ann", &no_more());
    second.knows("of-second", "bob", &json!({"iss": "https://second.example.com"}));
    // An answer of the second issuer for the first is not taken for one.
    second.knows("mixed", "bob", &no_more());
    assert_eq!(status(&gateway, "of-first"), 200);
    assert_eq!((first.asked().len(), second.asked().len()), (1, 0));
    assert_eq!(status(&gateway, "of-second"), 200);
    assert_eq!((first.asked().len(), second.asked().len()), (2, 1));
    assert_eq!(answered(&gateway, "mixed"), (401, "customer_token_issuer".to_owned()));
    assert_eq!(answered(&gateway, "of-nobody"), (401, "customer_token_inactive".to_owned()));
    // While one of them is away, only the other's tokens are known to be good or not.
    first.otherwise(Reply::Close);
    second.knows("late", "bob", &json!({"iss": "https://second.example.com"}));
    assert_eq!(status(&gateway, "late"), 200);
    assert_eq!(answered(&gateway, "unknown"), (503, "customer_token_introspection".to_owned()));
    let backend = Backend::start();
    let entries: Vec<Value> = (0..5)
        .map(|number| {
            let mut more = entry(&first);
            more["issuer"] = json!(format!("https://login{number}.example.com"));
            more
        })
        .collect();
    let (code, _, complained) = gateway::Workspace::new(&asking(Config::new(&backend), &entries)).run(&["check"]);
    assert!(code == 1 && complained.contains("more than 4 issuers"), "{complained}");
}

#[test]
fn a_logout_revokes_an_opaque_token_by_itself_and_no_other() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) =
        gateway_with(&endpoint, |config| config.set("/trusted_issuers/0/introspection/cache", json!("1s")));
    // What stands before the last dot is the same.
    for token in ["ya29.first", "ya29.second", "with-id"] {
        endpoint.knows(token, "ann", &no_more());
        assert_eq!(status(&gateway, token), 200);
    }
    let ended = gateway.post("/auth/logout").customer("ya29.first").send();
    assert_eq!(ended.status, 204, "{}", ended.text());
    assert_eq!(answered(&gateway, "ya29.first"), (401, "customer_token_revoked".to_owned()));
    assert_eq!(status(&gateway, "ya29.second"), 200);
    // Also once the answer has been asked for again.
    let before = endpoint.asked_about("ya29.first");
    eventually("it is asked for again", || {
        assert_eq!(status(&gateway, "ya29.first"), 401);
        endpoint.asked_about("ya29.first") > before
    });
    assert_eq!(answered(&gateway, "ya29.first"), (401, "customer_token_revoked".to_owned()));
    endpoint.otherwise(Reply::Close);
    let refused = gateway.post("/auth/logout").customer("unknown").send();
    assert_eq!((refused.status, refused.code().as_str()), (503, "503-04"));
    // By an operator, who has the token.
    gateway.files.succeeds(&["revoke", "token", "with-id", "--config", "gateway.yaml"]);
    assert_eq!(answered(&gateway, "with-id"), (401, "customer_token_revoked".to_owned()));
}

#[test]
fn an_assertion_is_signed_for_the_endpoint_where_there_is_a_private_key() {
    let endpoint = Endpoint::start();
    let key = TokenKey::generate();
    let mut signed = entry(&endpoint);
    let section = signed["introspection"].as_object_mut().unwrap();
    section.remove("client_secret");
    section.insert("private_key".to_owned(), json!("certs/introspection.pem"));
    let (_backend, gateway) =
        world_with(|config| asking(config, &[signed.clone()]).file("certs/introspection.pem", &key.pem));
    endpoint.knows("opaque", "ann", &no_more());
    assert_eq!(status(&gateway, "opaque"), 200);
    let (head, form) = endpoint.asked().remove(0);
    assert!(!head.to_lowercase().contains("authorization:"), "{head}");
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert_eq!(form["client_id"], "gate:way");
    let (header, claims) = decode(&form["client_assertion"]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&json!("gate:way"), &json!("gate:way"), &json!(ISSUER))
    );
    assert!(claims["exp"].as_u64().unwrap() <= now() + 61 && claims["jti"].as_str().unwrap().len() >= 16);
    // In the form, where the provider wants the secret there.
    let mut in_form = entry(&endpoint);
    in_form["introspection"]["auth"] = json!("form");
    let (_backend, gateway) = world_with(|config| asking(config, &[in_form]));
    assert_eq!(status(&gateway, "opaque"), 200);
    let (head, form) = endpoint.asked().remove(1);
    assert!(!head.to_lowercase().contains("authorization:"), "{head}");
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("gate:way", SECRET));
}

#[test]
fn opaque_tokens_work_as_bearer_tokens_for_forward_auth_and_introspection() {
    let endpoint = Endpoint::start();
    let (backend, gateway, plain) = asked_with(|config| {
        let bearer = json!([{"bearer": true}]);
        asking(config, &[entry(&endpoint)]).route("me", "customer_token_sources", bearer)
    });
    endpoint.knows("opaque", "ann", &no_more());
    gateway.get("/me/x").bearer("opaque").send().ok();
    backend.forget();
    let decide = |token: &str| plainly(&question(plain, "GET", "/me/x").bearer(token)).status;
    assert_eq!(decide("opaque"), 200);
    assert_eq!(decide("other"), 401);
    let ask = |token: &str| {
        let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
        gateway.post("/oauth/introspect").form(&form).send()
    };
    let told = ask("opaque").ok().json();
    assert_eq!((&told["active"], &told["iss"]), (&json!(true), &json!(ISSUER)), "{told}");
    assert_eq!(ask("other").ok().json(), json!({"active": false}));
    endpoint.on("late", Reply::Close);
    assert_eq!(ask("late").status, 503);
    backend.assert_untouched();
}

#[test]
fn check_says_what_is_wrong_with_a_section() {
    let (backend, endpoint) = (Backend::start(), Endpoint::start());
    for (key, value, cause) in [
        ("introspection/url", json!("http://login.example.com/introspect"), "plain http"),
        ("introspection/url", json!("login.example.com"), "introspection.url"),
        (
            "introspection",
            json!({"url": "https://x.example.com/introspect", "client_id": "x"}),
            "nothing says how this gateway authenticates",
        ),
        ("introspection/private_key", json!("certs/key.pem"), "side by side"),
        ("introspection/audience", json!("https://x"), "introspection.audience"),
        ("introspection/cache", json!("2h"), "more than an hour"),
        ("introspection/client_id", json!(" "), "introspection.client_id"),
        ("introspection/client_secret", json!({"file": "certs/none"}), "introspection.client_secret"),
        ("algorithms", json!(["RS256"]), "this issuer has no keys"),
    ] {
        let config =
            asking(Config::new(&backend), &[entry(&endpoint)]).set(&format!("/trusted_issuers/0/{key}"), value);
        let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
        assert!(
            code == 1 && complained.contains(cause) && complained.contains("trusted_issuers[0]"),
            "{key}: {complained}"
        );
    }
    let config = asking(Config::new(&backend), &[entry(&endpoint)]);
    let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
    assert_eq!(code, 0, "{complained}");
    let none = config.without("/trusted_issuers/0/introspection");
    let (code, _, complained) = gateway::Workspace::new(&none).run(&["check"]);
    assert!(code == 1 && complained.contains("or `introspection`"), "{complained}");
}

#[test]
fn an_open_websocket_ends_when_its_opaque_token_does() {
    let endpoint = Endpoint::start();
    let (address, backend) = tunnel::backend();
    let config = tunnel::with_websockets(Config::with_server(&format!("http://{address}")));
    let mut briefly = entry(&endpoint);
    briefly["introspection"]["cache"] = json!("1s");
    let gateway = Gateway::start(&asking(config, &[briefly]).route("me", "limits", json!({"recheck": "100ms"})));
    for token in ["ends", "stays"] {
        endpoint.knows(token, "ann", &no_more());
    }
    let open_as = |token: &str| {
        tunnel::open(&gateway, &backend, gateway.get("/me/live").customer(token).header("X-Request-Id", token))
    };
    let (mut caller, _opened) = open_as("ends");
    let (mut staying, mut stays) = open_as("stays");
    endpoint.on("ends", Reply::Json(200, json!({"active": false})));
    assert!(caller.closes());
    assert_eq!(gateway.access_line("ends")["refusal"], "customer_token_inactive");
    staying.send(b"x");
    assert_eq!(stays.stream.exact(1).unwrap(), b"x", "the other one goes on");
}

#[test]
fn opaque_system_tokens_open_routes_that_require_a_client_and_stand_for_no_customer() {
    let endpoint = Endpoint::start();
    let (backend, gateway) = gateway_with(&endpoint, |config| {
        config
            .set("/trusted_issuers/0/for", json!(["customer", "client"]))
            .set(
                "/trusted_issuers/0/client",
                json!({"id": "client_id", "scopes": "scope", "claims": {"idtyp": {"equals": "app"}}}),
            )
            .route("system", "scopes", json!(["profile"]))
    });
    let system = json!({"client_id": CLIENT.name, "idtyp": "app", "scope": "profile other"});
    endpoint.knows("system-token", "service", &system);
    endpoint.knows("customer-token", "ann", &json!({"client_id": CLIENT.name, "scope": "profile"}));
    endpoint.knows("stranger-token", "service", &json!({"client_id": "nobody", "idtyp": "app", "scope": "profile"}));
    for _ in 0..5 {
        let answer = gateway.get("/system/x").bearer("system-token").send().ok();
        let line = gateway.access_line(answer.header("x-request-id").unwrap());
        assert_eq!(line["client"], CLIENT.name, "{line}");
    }
    assert_eq!(endpoint.asked_about("system-token"), 1);
    backend.forget();
    let refused = |token: &str| {
        let answer = gateway.get("/system/x").bearer(token).send();
        let line = gateway.access_line(answer.header("x-request-id").unwrap());
        (answer.status, line["refusal"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused("customer-token"), (401, "client_token_type".to_owned()));
    assert_eq!(refused("stranger-token"), (401, "client_token_unknown_client".to_owned()));
    assert_eq!(refused("unknown-token"), (401, "client_token_inactive".to_owned()));
    assert_eq!(answered(&gateway, "system-token"), (401, "customer_token_type".to_owned()));
    backend.assert_untouched();
    // Both kinds in one call, neither known yet.
    endpoint.knows("system-2", "service", &system);
    endpoint.knows("customer-2", "ann", &json!({}));
    let both = gateway.post("/account/x").bearer("system-2").customer("customer-2").api_key(API_KEY);
    both.header("Content-Type", "application/json").send().ok();
    endpoint.otherwise(Reply::Close);
    assert_eq!(refused("nobody-can-say"), (503, "client_token_introspection".to_owned()));
}

/// An exchange of this token by a client.
fn exchange(gateway: &Gateway, token: &str) -> Request {
    gateway.post("/oauth/access_token").form(&format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id={}&client_secret={}&subject_token={token}\
         &subject_token_type=urn:ietf:params:oauth:token-type:access_token",
        CLIENT.name, CLIENT.secret
    ))
}

#[test]
fn the_token_for_an_opaque_one_lives_as_long_as_that_and_not_as_the_answer_about_it() {
    for cache in ["0s", "10s", "60s"] {
        let endpoint = Endpoint::start();
        let mut entry = entry(&endpoint);
        entry["introspection"]["cache"] = json!(cache);
        let (_backend, gateway) = world_with(|config| asking(config, &[entry]));
        let ends = now() + 100;
        endpoint.knows("long", "ann", &no_more());
        endpoint.knows("short", "ann", &json!({"exp": ends}));
        endpoint.knows("over", "ann", &json!({"exp": now() - 5}));
        let given = exchange(&gateway, "long").send().ok().json();
        assert_eq!(given["expires_in"], "300", "{cache}");
        let given = exchange(&gateway, "short").send().ok().json();
        let given = given["access_token"].as_str().unwrap().to_owned();
        assert_eq!(decode(&given).1["exp"], ends, "{cache}");
        assert_eq!(status(&gateway, &given), 200);
        let answer = exchange(&gateway, "over").send();
        assert_eq!((answer.status, answer.text().contains("has expired")), (400, true), "{}", answer.text());
    }
}

#[test]
fn an_exchange_while_the_issuer_cannot_be_asked_does_not_say_that_the_token_is_bad() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) = gateway_with(&endpoint, |config| config);
    endpoint.otherwise(Reply::Close);
    let answer = exchange(&gateway, "opaque").send();
    let said = answer.json();
    assert_eq!((answer.status, &said["error"]), (503, &json!("temporarily_unavailable")));
    assert_eq!(said["error_description"], "The issuer's keys, or its answer, are unavailable; retry later.");
    endpoint.otherwise(Reply::Json(200, json!({"active": false})));
    let answer = exchange(&gateway, "another").send();
    assert_eq!((answer.status, answer.text().contains("not a valid token")), (400, true), "{}", answer.text());
}

#[test]
fn codes_and_forms_and_cookies_of_the_login_page_are_shown_to_no_issuer() {
    let endpoint = Endpoint::start();
    let (_backend, gateway) = gateway_with(&endpoint, with_codes);
    let (code, form) = (code(&gateway, &query(), ALICE), OpenForm::open(&gateway, &query()));
    let cookie = form.cookie.split_once('=').unwrap().1;
    for secret in [&*code, &form.sealed, cookie, "wgp_x"] {
        assert_eq!(answered(&gateway, secret), (401, "customer_token_malformed".to_owned()));
        let answer = exchange(&gateway, secret).send();
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert!(endpoint.asked().is_empty());
    // Anything else is.
    assert_eq!(status(&gateway, "wg-other"), 401);
    assert_eq!(endpoint.asked_about("wg-other"), 1);
}
