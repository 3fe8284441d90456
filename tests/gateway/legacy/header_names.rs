//! `header_case` and `header_names`.

use crate::harness::backend::Seen;
use crate::harness::*;
use crate::websocket::tunnel;

/// Bytes that look like the end of one request and the head of the next.
const DISGUISED: &str = "\r\n\r\nPOST / HTTP/1.1\r\nsoapaction: x\r\nx-customerid: y\r\n\r\n";

fn spelled(config: Config, case: &str) -> Config {
    config
        .set("/backends/legacy/header_case", json!(case))
        .set("/backends/legacy/header_names", json!(["SOAPAction", "X-CustomerID", "shop_key", "HOST"]))
        .set("/backends/legacy/request_headers", json!({"set": {"Shop_Key": "k"}}))
        .set("/backends/legacy/health_check", json!({"path": "/health", "interval": "50ms"}))
        .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/id"}))
}

/// The spelling in which a field came.
#[track_caller]
fn spelling<'a>(seen: &'a Seen, name: &str) -> &'a str {
    let mut found = seen.lines.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
    &found.next().unwrap_or_else(|| panic!("no {name} in {:?}", seen.lines)).0
}

#[test]
fn names_come_as_they_are_spelled_in_requests_logins_and_health_checks() {
    for (case, kind, agent) in [("lower", "content-type", "user-agent"), ("title", "Content-Type", "User-Agent")] {
        let (backend, gateway) =
            world_with(|config| spelled(config, case).route("me", "identifier", json!({"header": "X-CustomerID"})));
        backend.on("/login", Behaviour::json(200, &json!({"id": "account-7"})));
        let login = gateway.login_request("erin", "x").send().ok();
        let token = login.json()["JWT"].as_str().unwrap().to_owned();
        gateway.post("/me/x").customer(&token).json("{}").header("soapaction", "\"soapaction: a\"").send().ok();
        eventually("a health check", || !backend.requests_for("/health").is_empty());
        let (call, login, check) = ("/me/x", "/login", "/health");
        let seen = |path| backend.requests_for(path).remove(0);
        for path in [call, login, check] {
            assert_eq!(spelling(&seen(path), "host"), "HOST", "{path}");
        }
        let call = seen(call);
        for name in ["SOAPAction", "X-CustomerID", "shop_key"] {
            assert_eq!(spelling(&call, name), name);
        }
        assert_eq!(call.header("soapaction"), Some("\"soapaction: a\""));
        assert_eq!(spelling(&call, "content-type"), kind);
        assert_eq!(spelling(&seen(login), "content-type"), kind);
        assert_eq!(spelling(&seen(check), "user-agent"), agent);
        assert!(backend.problems().is_empty(), "{:?}", backend.problems());
    }
}

#[test]
fn without_these_keys_names_are_in_lower_case() {
    let (backend, gateway) = world();
    gateway.get("/public/x").header("SOAPAction", "a").send().ok();
    let seen = backend.only();
    assert!(seen.lines.iter().all(|(name, _)| *name == name.to_ascii_lowercase()), "{:?}", seen.lines);
}

#[test]
fn no_byte_of_a_body_is_touched_whatever_it_looks_like() {
    let (backend, gateway) = world_with(|config| spelled(config, "lower"));
    let chunked = format!(
        "POST /public/c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x-customerid\r\nSoapaction: 1\r\n\r\n{:x}\r\n{DISGUISED}\r\n5\r\nsoapa\r\n0\r\nx-sum: soapaction: 1\r\n\r\n",
        DISGUISED.len(),
    );
    let mut caller = gateway.connect();
    for round in 0..3 {
        gateway.post("/public/l").header("soapaction", "1").body(DISGUISED).send_on(&mut caller).ok();
        caller.exchange(chunked.as_bytes()).unwrap().ok();
        gateway.get("/public/g").header("soapaction", "1").send_on(&mut caller).ok();
        let seen = |path| backend.requests_for(path).remove(round);
        assert_eq!(seen("/public/l").body, DISGUISED.as_bytes());
        assert_eq!(seen("/public/c").body, format!("{DISGUISED}soapa").as_bytes());
        for path in ["/public/l", "/public/c", "/public/g"] {
            assert_eq!(spelling(&seen(path), "soapaction"), "SOAPAction", "{path}");
        }
    }
    assert!(backend.problems().is_empty(), "{:?}", backend.problems());
    let used = backend.requests().into_iter().filter(|seen| seen.path() != "/health").map(|seen| seen.connection);
    let mut used: Vec<usize> = used.collect();
    used.dedup();
    assert_eq!(used.len(), 1, "the connection was used again: {used:?}");
}

#[test]
fn no_byte_of_a_websocket_is_touched() {
    let (address, opened) = tunnel::backend();
    let gateway = tunnel::world_of(address, |config| {
        config.set("/backends/legacy/header_names", json!(["SOAPAction", "Upgrade", "Sec-WebSocket-Key"]))
    });
    let (mut caller, mut backend) = tunnel::open(&gateway, &opened, gateway.get("/public/socket"));
    let frame = |text: &str| {
        // Masked with zeros (RFC 6455 section 5.3).
        [&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0], text.as_bytes()].concat()
    };
    let text = frame("GET / HTTP/1.1\r\nsoapaction: x\r\n\r\n");
    for _ in 0..3 {
        caller.send(&text);
        assert_eq!(backend.stream.exact(text.len()).unwrap(), text);
    }
}
