//! Refusals because of a backend: the access log says what it did, and the caller learns nothing of it.

use super::Provoked;
use crate::harness::backend::message;
use crate::harness::*;

pub(super) const WORDS: &[&[&str]] = &[ANSWERS, CONNECTIONS, OVERLOAD, TOKEN];

const ANSWERS: &[&str] =
    &["backend_response", "backend_timeout", "backend_credential", "response_not_json", "response_too_large"];

const CONNECTIONS: &[&str] = &["backend_connect", "backend_unavailable"];

const OVERLOAD: &[&str] = &["backend_overload"];

const TOKEN: &[&str] = &["backend_token"];

/// A secret that the backend writes wherever it can.
const SECRET: &str = "hunter2-of-the-backend";

#[test]
fn words_of_answers_and_what_the_backend_did() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/timeout", json!("300ms"))
            .set("/backends/legacy/circuit_breaker", json!({"failures": 1000}))
            .route("key", "response", json!({"allow": ["/ok"], "body": "1KiB"}))
    });
    let provoked = Provoked::at(&gateway);
    let server = backend.address;
    let did = |word: &'static str, request: Request, behaviour: Behaviour| {
        backend.on(&request.target, behaviour);
        let line = provoked.sent(word, &request);
        let fault = line["backend_fault"].as_str().unwrap().to_owned();
        assert!(!gateway.stdout.all().concat().contains(SECRET), "{fault}");
        fault.strip_prefix(&format!("{server}: ")).unwrap_or_else(|| panic!("{fault}")).to_owned()
    };
    let get = || gateway.get("/public/x");
    let ruled = || gateway.get("/key/x").api_key(config::FREE_API_KEY);
    let secretly = |bytes: &str| Behaviour::RawThenClose(bytes.replace('$', SECRET).into_bytes());
    assert_eq!(did("backend_response", get(), Behaviour::Close), "closed without a response");
    assert_eq!(did("backend_response", get(), secretly("$ is no HTTP\r\n\r\n")), "invalid response head");
    let two = secretly("HTTP/1.1 200 $\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n$");
    assert_eq!(did("backend_response", get(), two), "invalid response head");
    let both = secretly("HTTP/1.1 200 $\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n$");
    assert_eq!(did("backend_response", get(), both), "Content-Length beside Transfer-Encoding");
    assert_eq!(did("backend_timeout", get(), Behaviour::Silent), "no response head within 0.3s");
    assert_eq!(did("backend_credential", get(), Behaviour::status(401)), "401 from the backend");
    assert_eq!(did("backend_credential", get(), Behaviour::status(407)), "407 from the backend");
    let html = Behaviour::reply(200, &[("Content-Type", "text/html")], SECRET.as_bytes());
    assert_eq!(did("response_not_json", ruled(), html), "not JSON by its Content-Type");
    let broken = Behaviour::reply(200, &[("Content-Type", "application/json")], SECRET.as_bytes());
    assert_eq!(did("response_not_json", ruled(), broken), "not JSON, or with a duplicate member");
    let large = Behaviour::json(200, &json!({"ok": "x".repeat(2_000)}));
    assert_eq!(did("response_too_large", ruled(), large), "larger than routes[].response.body");
    let json = &[("Content-Type", "application/json"), ("Connection", "close")];
    let whole = message(200, json, &[b'x'; 100]);
    let cut = Behaviour::RawThenClose(whole[..whole.len() - 88].to_vec());
    assert_eq!(did("backend_response", ruled(), cut), "closed early after 12 bytes of 100");
    provoked.are(ANSWERS);
}

#[test]
fn an_answer_that_breaks_off_behind_its_head_is_in_the_line_too() {
    let (backend, gateway) = world();
    let whole = message(200, &[("Content-Type", "text/plain")], &[b'x'; 100]);
    backend.on("/public/x", Behaviour::RawThenClose(whole[..whole.len() - 88].to_vec()));
    gateway.get("/public/x").header("X-Request-Id", "cut").try_on(&mut gateway.connect()).unwrap_err();
    let line = gateway.access_line("cut");
    assert_eq!((&line["refusal"], &line["status"]), (&json!("backend_response"), &json!(200)), "{line}");
    assert_eq!(line["backend_fault"], format!("{}: closed early after 12 bytes of 100", backend.address));
    // A call that is answered has nothing of the kind, nor has a refusal that no backend caused.
    for answer in [gateway.get("/public/y").send(), gateway.get("/system/y").send()] {
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line.get("backend_fault"), None, "{line}");
    }
}

#[test]
fn words_of_a_backend_that_is_gone() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 3, "pause": "1m"})));
    let provoked = Provoked::at(&gateway);
    gateway.get("/public/x").send().ok();
    backend.stop();
    let line = provoked.sent("backend_connect", &gateway.get("/public/x"));
    assert_eq!(line["backend_fault"], format!("{}: connection refused", backend.address));
    let mut answer = gateway.get("/public/x").send();
    for _ in 0..5 {
        if answer.status == 503 {
            break;
        }
        answer = gateway.get("/public/x").send();
    }
    let line = provoked.answered("backend_unavailable", &answer);
    assert_eq!(line["backend_fault"], "circuit breaker open");
    provoked.are(CONNECTIONS);
}

#[test]
fn a_certificate_that_is_not_accepted_is_named_without_a_byte_of_it() {
    use crate::harness::identity_provider::IdentityProvider;
    for (pair, fault) in [
        (keys::expired(&["127.0.0.1"]), "TLS: certificate expired"),
        (keys::self_signed(&["127.0.0.1"]), "TLS: certificate of an unknown CA"),
        (
            keys::certificate(&["secret-name.internal"], rcgen::ExtendedKeyUsagePurpose::ServerAuth),
            "TLS: certificate for another name",
        ),
    ] {
        let server = IdentityProvider::start_tls_as(&pair, &[]);
        let config = Config::with_server(&format!("https://{}", server.address))
            .set("/backends/legacy/tls", json!({"ca": "certs/ca.pem"}));
        let gateway = Gateway::start(&config);
        let line = Provoked::at(&gateway).sent("backend_connect", &gateway.get("/public/x"));
        assert_eq!(line["backend_fault"], format!("{}: {fault}", server.address));
    }
}

#[test]
fn the_word_of_a_backend_that_has_enough_requests() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/concurrency", json!(1)));
    let provoked = Provoked::at(&gateway);
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = std::thread::spawn(move || slow.send().status);
    backend.wait_for(1);
    let line = provoked.sent("backend_overload", &gateway.get("/public/x"));
    assert_eq!(line["backend_fault"], "limit of 1 requests at once reached");
    gate.open();
    assert_eq!(waiting.join().unwrap(), 200);
    provoked.are(OVERLOAD);
}

#[test]
fn the_word_of_a_backend_for_which_there_is_no_access_token() {
    let server = Backend::start();
    server.on("/token", Behaviour::json(401, &json!({"error": "invalid_client"})));
    let (_backend, gateway) = world_with(|c| {
        let oauth = json!({
            "token_url": format!("{}/token", server.url()), "client_id": "gateway",
            "client_secret": {"file": "certs/secret"}, "timeout": "1s",
        });
        c.set("/backends/legacy/authorization", json!({"oauth": oauth})).file("certs/secret", "s3cret-of-the-gateway")
    });
    let provoked = Provoked::at(&gateway);
    let line = provoked.sent("backend_token", &gateway.get("/public/x"));
    assert_eq!(line["backend_fault"], "no access token from the OAuth server");
    provoked.are(TOKEN);
}
