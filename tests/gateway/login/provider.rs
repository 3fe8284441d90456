//! Logging in at the company's provider: OIDC relying party.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::digest::{SHA256, digest};

use crate::harness::customer::{by_cookie, member, session_cookie};
use crate::harness::gateway::form_encode;
use crate::harness::identity_provider::token_with;
use crate::harness::keys::{TokenKey, base64, base64url, decode, now};
use crate::harness::login_page::*;
use crate::harness::*;

const ISSUER: &str = "https://login.example.com";
/// The id of the gateway at the provider.
const GATE: &str = "gate";
const SECRET: &str = "s3cret&of+the=gateway";

/// What the token endpoint answers.
#[derive(Clone)]
enum Reply {
    Json(u16, Value),
    Bytes(&'static str),
    Hang(Gate),
}

#[derive(Default)]
struct Desk {
    /// By code.
    replies: HashMap<String, Reply>,
    /// Heads and forms of all requests.
    asked: Vec<(String, HashMap<String, String>)>,
}

/// A provider: a key, and a token endpoint.
struct Provider {
    key: TokenKey,
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::<Mutex<Desk>>::default();
        let shared = Arc::clone(&desk);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { key: TokenKey::generate(), address, desk }
    }

    fn configure(&self, config: Config) -> Config {
        with_codes(config)
            .trust(ISSUER, &self.key)
            .set("/trusted_issuers/0/refresh", json!({"timeout": "2s"}))
            .set("/login", json!({"limits": {"rate": "1000/s", "burst": 1000}}))
            .set(
                "/login/provider",
                json!({
                    "issuer": ISSUER, "client_id": GATE, "client_secret": {"file": "certs/provider"},
                    "authorization_endpoint": "https://login.example.com/authorize?tenant=a",
                    "token_endpoint": format!("http://{}/token", self.address), "scopes": ["openid", "email"],
                }),
            )
            .file("certs/provider", SECRET)
    }

    fn world(&self, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
        world_with(|config| change(self.configure(config)))
    }

    fn on(&self, code: &str, reply: Reply) {
        self.desk.lock().unwrap().replies.insert(code.to_owned(), reply);
    }

    /// This code is for this ID token.
    fn gives(&self, code: &str, id_token: &str) {
        let answer = json!({"token_type": "Bearer", "access_token": "x", "expires_in": 60, "id_token": id_token});
        self.on(code, Reply::Json(200, answer));
    }

    fn id_token(&self, subject: &str, nonce: &str, change: impl FnOnce(&mut Value)) -> String {
        token_with(&self.key, "partner-1", ISSUER, subject, |claims| {
            claims["aud"] = json!(GATE);
            claims["nonce"] = json!(nonce);
            change(claims);
        })
    }

    fn asked(&self) -> Vec<(String, HashMap<String, String>)> {
        self.desk.lock().unwrap().asked.clone()
    }
}

fn answer(mut stream: TcpStream, desk: &Mutex<Desk>) {
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
    let plain =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let form: HashMap<String, String> = pairs.map(|(name, value)| (plain(name), plain(value))).collect();
    let reply = {
        let mut desk = desk.lock().unwrap();
        let reply = form.get("code").and_then(|code| desk.replies.get(code)).cloned();
        desk.asked.push((head, form));
        reply
    };
    match reply.unwrap_or_else(|| Reply::Json(400, json!({"error": "invalid_grant"}))) {
        Reply::Json(status, document) => {
            let body = document.to_string();
            let head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).ok();
        }
        Reply::Bytes(bytes) => drop(stream.write_all(bytes.as_bytes())),
        Reply::Hang(gate) => gate.wait(),
    }
}

/// A browser that was sent to the provider.
#[derive(Debug, Clone)]
struct Away {
    cookie: String,
    state: String,
    nonce: String,
    challenge: String,
    prompt: Option<String>,
}

impl Away {
    #[track_caller]
    fn send(gateway: &Gateway, pairs: &[(&'static str, String)]) -> Self {
        let answer = authorize(gateway, pairs).send();
        let location = answer.header("Location").unwrap_or_else(|| panic!("{} {}", answer.status, answer.text()));
        assert!(location.starts_with("https://login.example.com/authorize?tenant=a&response_type=code&"), "{location}");
        let value = |name: &str| returned(&answer, name);
        assert_eq!(value("client_id").as_deref(), Some(GATE));
        assert_eq!(value("redirect_uri").as_deref(), Some("https://gateway.test/oauth/callback"));
        assert_eq!(value("scope").as_deref(), Some("openid email"));
        assert_eq!(value("code_challenge_method").as_deref(), Some("S256"));
        let cookie = answer.all("Set-Cookie").into_iter().find(|line| line.starts_with("__Host-authorize=")).unwrap();
        assert!(cookie.contains("; SameSite=Lax") && cookie.contains("; HttpOnly"), "{cookie}");
        Self {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            state: value("state").unwrap(),
            nonce: value("nonce").unwrap(),
            challenge: value("code_challenge").unwrap(),
            prompt: value("prompt"),
        }
    }

    /// It comes back with these parameters beside its state.
    fn back(&self, gateway: &Gateway, parameters: &[(&str, &str)]) -> Request {
        let more: String = parameters.iter().map(|(name, value)| format!("&{name}={}", form_encode(value))).collect();
        gateway.get(&format!("/oauth/callback?state={}{more}", self.state)).header("Cookie", &self.cookie)
    }

    fn with_code(&self, gateway: &Gateway, code: &str) -> Response {
        self.back(gateway, &[("code", code)]).send()
    }
}

/// A page without a way on.
#[track_caller]
fn refused(gateway: &Gateway, answer: &Response, status: u16, word: &str) {
    assert_eq!((answer.status, answer.header("Location")), (status, None), "{}", answer.text());
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((line["refusal"].as_str(), line["route"].as_str()), (Some(word), Some("oauth_callback")), "{line}");
}

#[test]
fn a_login_at_the_provider_names_the_same_customer_as_a_token_of_it() {
    let provider = Provider::start();
    let (backend, gateway) = provider.world(|c| c.set("/login/refresh", json!({"lifetime": "1h"})));
    let away = Away::send(&gateway, &query());
    assert_eq!(away.prompt, None);
    provider.gives("c-1", &provider.id_token("ann", &away.nonce, |_| {}));
    let answer = away.back(&gateway, &[("code", "c-1"), ("iss", ISSUER), ("session_state", "x")]).send();
    assert_eq!(returned(&answer, "state").as_deref(), Some("s-1"));
    assert!(answer.header("Location").unwrap().starts_with(CALLBACK));
    let tokens = redeem(&gateway, &returned(&answer, "code").unwrap()).send().ok();
    gateway.get("/me/x").customer(&member(&tokens, "access_token")).send().ok();
    let theirs = token_with(&provider.key, "partner-1", ISSUER, "ann", |_| {});
    gateway.get("/me/x").customer(&theirs).send().ok();
    let names: Vec<String> = backend.requests().iter().map(|r| r.header("X-Customer-Id").unwrap().to_owned()).collect();
    assert_eq!(names[0], names[1]);
    let form = format!("grant_type=refresh_token&refresh_token={}", member(&tokens, "refresh_token"));
    let next = gateway.post("/oauth/access_token").form(&form).send().ok();
    assert_eq!(decode(&member(&next, "access_token")).1["sub"], decode(&member(&tokens, "access_token")).1["sub"]);
    let asked = provider.asked();
    let (head, form) = &asked[0];
    let basic = format!("authorization: basic {}", base64(b"gate:s3cret%26of%2Bthe%3Dgateway").to_lowercase());
    assert!(asked.len() == 1 && head.to_lowercase().contains(&basic), "{head}");
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["redirect_uri"], "https://gateway.test/oauth/callback");
    assert_eq!(base64url(digest(&SHA256, form["code_verifier"].as_bytes()).as_ref()), away.challenge);
    // Nobody shows a password here any more.
    gateway.post("/auth/customer_authenticate").form("username=a&password=b").send().expect(404, "404-01");
    gateway.post(AUTHORIZE).form("authorization=x&username=a&password=b").send().expect_one_of(&[400]);
}

#[test]
fn a_state_of_another_browser_or_none_or_an_old_one_leads_nowhere() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    let (mine, theirs) = (Away::send(&gateway, &query()), Away::send(&gateway, &query()));
    provider.gives("c-1", &provider.id_token("mallory", &theirs.nonce, |_| {}));
    let planted = Away { cookie: mine.cookie.clone(), ..theirs.clone() };
    refused(&gateway, &planted.with_code(&gateway, "c-1"), 400, "login_form");
    let bare = theirs.back(&gateway, &[("code", "c-1")]).drop_header("Cookie").send();
    refused(&gateway, &bare, 400, "login_form");
    let cut = Away { state: theirs.state[..theirs.state.len() - 2].to_owned(), ..theirs.clone() };
    refused(&gateway, &cut.with_code(&gateway, "c-1"), 400, "login_form");
    let error = planted.back(&gateway, &[("error", "access_denied")]).send();
    refused(&gateway, &error, 400, "login_form");
    assert!(provider.asked().is_empty(), "the provider is asked for nobody");
    assert!(returned(&theirs.with_code(&gateway, "c-1"), "code").is_some());
}

#[test]
fn a_state_is_good_once() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    let away = Away::send(&gateway, &query());
    for code in ["c-1", "c-2"] {
        provider.gives(code, &provider.id_token("ann", &away.nonce, |_| {}));
    }
    assert!(returned(&away.with_code(&gateway, "c-1"), "code").is_some());
    refused(&gateway, &away.with_code(&gateway, "c-2"), 400, "login_form");
}

#[test]
fn a_code_of_another_login_does_not_get_in() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    let (mine, theirs) = (Away::send(&gateway, &query()), Away::send(&gateway, &query()));
    provider.gives("slipped-in", &provider.id_token("mallory", &theirs.nonce, |_| {}));
    refused(&gateway, &mine.with_code(&gateway, "slipped-in"), 400, "login_form");
    refused(&gateway, &mine.with_code(&gateway, "of-nobody"), 400, "login_form");
    let without = provider.id_token("mallory", "", |claims| drop(claims.as_object_mut().unwrap().remove("nonce")));
    provider.gives("without", &without);
    refused(&gateway, &mine.with_code(&gateway, "without"), 400, "login_form");
}

#[test]
fn an_answer_of_another_server_is_refused_before_its_code_goes_anywhere() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    let away = Away::send(&gateway, &query());
    provider.gives("c-1", &provider.id_token("ann", &away.nonce, |_| {}));
    for iss in ["https://other.example.com", "https://gateway.test"] {
        refused(&gateway, &away.back(&gateway, &[("code", "c-1"), ("iss", iss)]).send(), 400, "login_form");
    }
    assert!(provider.asked().is_empty());
    assert!(returned(&away.back(&gateway, &[("code", "c-1"), ("iss", ISSUER)]).send(), "code").is_some());
}

#[test]
fn an_id_token_that_is_not_for_this_gateway_or_not_signed_by_the_provider_is_refused() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    let away = Away::send(&gateway, &query());
    let with = |change: fn(&mut Value)| provider.id_token("ann", &away.nonce, change);
    let claims = decode(&with(|_| {})).1;
    let none = keys::signing_input(&json!({"alg": "none", "typ": "JWT"}), &claims) + ".";
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"});
    let wrong = [
        with(|claims| claims["aud"] = json!("legacy-api")),
        with(|claims| claims["aud"] = json!(["other", "another"])),
        with(|claims| claims["aud"] = json!([GATE, "other"])),
        with(|claims| claims["azp"] = json!("other")),
        with(|claims| claims["iss"] = json!("https://other.example.com")),
        with(|claims| claims["exp"] = json!(now() - 300)),
        with(|claims| drop(claims.as_object_mut().unwrap().remove("iat"))),
        with(|claims| drop(claims.as_object_mut().unwrap().remove("sub"))),
        with(|claims| claims["events"] = json!({"x": {}})),
        TokenKey::generate().sign(&header, &claims),
        provider.key.sign(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "partner-1"}), &claims),
        keys::hs256(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET.as_bytes()),
        none,
        "x".to_owned(),
    ];
    for (number, token) in wrong.iter().enumerate() {
        let code = format!("w-{number}");
        provider.gives(&code, token);
        refused(&gateway, &away.with_code(&gateway, &code), 503, "login_backend");
    }
    provider.gives("right", &with(|claims| (claims["aud"], claims["azp"]) = (json!([GATE, "other"]), json!(GATE))));
    assert!(returned(&away.with_code(&gateway, "right"), "code").is_some());
}

#[test]
fn somebody_whom_the_claims_of_the_issuer_rule_out_is_denied() {
    let provider = Provider::start();
    let (_backend, gateway) =
        provider.world(|c| c.set("/trusted_issuers/0/claims", json!({"tid": {"equals": "acme"}})));
    let away = Away::send(&gateway, &query());
    provider.gives("other", &provider.id_token("ann", &away.nonce, |claims| claims["tid"] = json!("other")));
    let answer = away.with_code(&gateway, "other");
    assert_eq!((returned(&answer, "error").as_deref(), returned(&answer, "code")), (Some("access_denied"), None));
    provider.gives("right", &provider.id_token("ann", &away.nonce, |claims| claims["tid"] = json!("acme")));
    assert!(returned(&away.with_code(&gateway, "right"), "code").is_some());
}

#[test]
fn what_the_provider_says_goes_to_the_client_as_a_known_word_and_nothing_else() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    for (said, told) in [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("interaction_required", "interaction_required"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("invalid_request", "server_error"),
        ("https://evil.test/\r\nx", "server_error"),
    ] {
        let away = Away::send(&gateway, &query());
        let described = [("error", said), ("error_description", "go to evil.test"), ("error_uri", "https://evil.test")];
        let answer = away.back(&gateway, &described).send();
        assert_eq!(returned(&answer, "error").as_deref(), Some(told));
        assert_eq!(returned(&answer, "state").as_deref(), Some("s-1"));
        let location = answer.header("Location").unwrap();
        assert!(location.starts_with(CALLBACK) && !location.contains("evil"), "{location}");
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn prompt_goes_on_to_the_provider() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c.set("/login/provider/prompt", json!("select_account")));
    let prompt = |value: &str| Away::send(&gateway, &with(query(), "prompt", value)).prompt;
    assert_eq!(prompt("").as_deref(), Some("select_account"));
    assert_eq!(prompt("none").as_deref(), Some("none"));
    assert_eq!(prompt("login").as_deref(), Some("login"));
    // Any program on the customer's machine can call itself this app.
    let local = query_of(APP, "http://127.0.0.1:51004/cb");
    assert_eq!(Away::send(&gateway, &local).prompt.as_deref(), Some("login"));
    let answer = authorize(&gateway, &with(local, "prompt", "none")).send();
    assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"));
}

#[test]
fn a_provider_that_fails_is_an_outage_and_one_that_hangs_holds_up_nobody_else() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c);
    let away = Away::send(&gateway, &query());
    let replies = [
        Reply::Json(500, json!({})),
        Reply::Json(401, json!({"error": "invalid_client"})),
        Reply::Json(200, json!({"access_token": "x"})),
        Reply::Json(200, json!([])),
        Reply::Bytes("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        Reply::Bytes("SSH-2.0"),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let code = format!("c-{number}");
        provider.on(&code, reply);
        refused(&gateway, &away.with_code(&gateway, &code), 503, "login_backend");
    }
    let gate = Gate::default();
    provider.on("slow", Reply::Hang(gate.clone()));
    let (slow, other) = (Away::send(&gateway, &query()), Away::send(&gateway, &query()));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| slow.with_code(&gateway, "slow"));
        eventually("the provider is asked", || provider.asked().iter().any(|(_, form)| form["code"] == "slow"));
        provider.gives("quick", &provider.id_token("bob", &other.nonce, |_| {}));
        assert!(returned(&other.with_code(&gateway, "quick"), "code").is_some());
        assert!(!waiting.is_finished());
        refused(&gateway, &waiting.join().unwrap(), 503, "login_backend");
    });
    gate.open();
    let said = [gateway.stderr.all(), gateway.stdout.all()].concat().join("\n");
    assert!(!said.contains("s3cret") && !said.contains("quick"), "{said}");
}

#[test]
fn a_logout_at_the_provider_ends_what_began_there() {
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| {
        let c = c.cookies("both").set("/login/refresh", json!({"lifetime": "1h"}));
        c.set("/trusted_issuers/0/logout", json!({"audiences": [GATE]}))
    });
    let enter = |subject: &str| {
        let away = Away::send(&gateway, &query());
        provider.gives(subject, &provider.id_token(subject, &away.nonce, |claims| claims["sid"] = json!("s")));
        let answer = away.with_code(&gateway, subject);
        (session_cookie(&answer), redeem(&gateway, &returned(&answer, "code").unwrap()).send().ok())
    };
    let ((ann, tokens), (bob, _)) = (enter("ann"), enter("bob"));
    // With a live session the provider is not asked again.
    let again = authorize(&gateway, &query()).header("Cookie", &ann).send();
    assert!(returned(&again, "code").is_some() && again.header("Location").unwrap().starts_with(CALLBACK));
    let token = provider.key.sign(
        &json!({"alg": "ES256", "typ": "logout+jwt", "kid": "partner-1"}),
        &json!({
            "iss": ISSUER, "aud": GATE, "iat": now(), "exp": now() + 120, "jti": "j", "sub": "ann", "sid": "s",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }),
    );
    gateway.post("/oauth/backchannel_logout").form(&format!("logout_token={token}")).send().ok();
    by_cookie(&gateway, &ann).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&member(&tokens, "access_token")).send().expect(401, "401-03");
    let form = format!("grant_type=refresh_token&refresh_token={}", member(&tokens, "refresh_token"));
    assert_eq!(gateway.post("/oauth/access_token").form(&form).send().status, 400);
    by_cookie(&gateway, &bob).send().ok();
}

#[test]
fn check_finds_a_provider_at_which_nobody_could_log_in() {
    let provider = Provider::start();
    let faults = |change: fn(Config) -> Config| {
        let config = change(provider.configure(Config::new(&Backend::start())));
        gateway::Workspace::new(&config).fails(&["check"])
    };
    type Case = (fn(Config) -> Config, &'static str);
    let cases: [Case; 8] = [
        (|c| c.set("/login/accounts", json!({"file": "accounts.yaml"})), "side by side"),
        (|c| c.without("/login/provider"), "nothing says who may log in"),
        (|c| c.set("/login/provider/issuer", json!("https://login.example.org")), "there is no issuer"),
        (|c| c.without("/login/provider/client_secret"), "nothing says how this gateway authenticates"),
        (|c| c.set("/login/provider/token_endpoint", json!("http://login.example.com/token")), "plain http"),
        (|c| c.set("/login/provider/scopes", json!(["email"])), "without the scope `openid`"),
        (|c| c.set("/trusted_issuers/0/for", json!(["client"])), "no customers' tokens"),
        (|c| c.set("/clients", json!([{"id": "asapp", "secrets": []}])), "no client has `redirect_uris`"),
    ];
    for (change, message) in cases {
        let said = faults(change);
        assert!(said.contains(message) && said.contains("gateway.yaml:"), "{message}: {said}");
    }
}

#[test]
fn the_example_of_the_documentation_sends_a_browser_to_the_provider() {
    let page = include_str!("../../../docs/identity-providers.md");
    let (_, section) = page.split_once("\n## Login at your provider\n").unwrap();
    let (_, example) = section.split_once("```yaml\n").unwrap();
    let example: Value = serde_saphyr::from_str(example.split("```").next().unwrap()).unwrap();
    let mut login = example["login"].clone();
    login["provider"]["client_secret"] = json!({"file": "certs/provider"});
    let mut issuers = example["trusted_issuers"].clone();
    issuers[0]["jwks"] = json!({"file": "certs/partner.json"});
    issuers[0].as_object_mut().unwrap().remove("discovery");
    let provider = Provider::start();
    let (_backend, gateway) = provider.world(|c| c.set("/login", login).set("/trusted_issuers", issuers));
    let location = authorize(&gateway, &query()).send().header("Location").unwrap().to_owned();
    assert!(location.starts_with("https://login.example.com/oauth2/authorize?response_type=code&"), "{location}");
}
