//! Proxies in front: `trusted_proxies`, PROXY protocol, X-Forwarded-For.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::harness::client::tls;
use crate::harness::other_proxy::OtherProxy;
use crate::harness::*;

const CALLER: &str = "203.0.113.7";

/// A header of version 2 for a call over IPv4.
fn binary(command: u8, source: [u8; 4], more: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + more.len()).unwrap().to_be_bytes();
    let head = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11], &length].concat();
    [&head[..], &source, &[10, 0, 0, 1], &[0x12, 0x34], &[0x01, 0xbb], more].concat()
}

fn line() -> Vec<u8> {
    format!("PROXY TCP4 {CALLER} 10.0.0.1 4711 443\r\n").into_bytes()
}

fn announcing(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(config.set("/listen/0/proxy_protocol", json!(["127.0.0.0/8"]))))
}

fn after(gateway: &Gateway, preamble: &[u8]) -> std::io::Result<Connection> {
    Connection::after(gateway.address, preamble, tls(b"http/1.1", None))
}

/// Who has called, by the access log, and what the backend was told.
#[track_caller]
fn told(backend: &Backend, gateway: &Gateway, answer: Response) -> (String, Option<String>) {
    let line = gateway.access_line(answer.ok().header("X-Request-Id").unwrap());
    let seen = backend.requests().last().unwrap().header("X-Forwarded-For").map(str::to_owned);
    (line["client_address"].as_str().unwrap().to_owned(), seen)
}

#[test]
fn a_proxy_protocol_header_names_the_caller() {
    let (backend, gateway) = announcing(|config| config.set("/listen/0/allow", json!(["203.0.113.0/24"])));
    let sources = [line(), binary(0x21, [203, 0, 113, 7], &[]), binary(0x21, [203, 0, 113, 7], &[0x04; 300])];
    for preamble in sources {
        let mut connection = after(&gateway, &preamble).unwrap();
        let answer = gateway.get("/public/x").header("X-Forwarded-For", "198.51.100.1").send_on(&mut connection);
        let caller = Some(CALLER.to_owned());
        assert_eq!(told(&backend, &gateway, answer), (CALLER.to_owned(), caller));
    }
    let forwarded = backend.requests().last().unwrap().header("Forwarded").unwrap().to_owned();
    assert!(forwarded.starts_with(&format!("for={CALLER};proto=https")), "{forwarded}");
}

#[test]
fn the_allow_list_is_about_the_caller_and_not_about_the_proxy() {
    let (backend, gateway) = announcing(|config| config.set("/listen/0/allow", json!(["127.0.0.0/8"])));
    let mut connection = after(&gateway, &line()).unwrap();
    gateway.get("/public/x").send_on(&mut connection).expect(403, "403-04");
    // The proxy speaks for itself: it looks whether somebody is there.
    let mut connection = after(&gateway, &binary(0x20, [203, 0, 113, 7], &[])).unwrap();
    gateway.get("/public/x").send_on(&mut connection).ok();
    let mut connection = after(&gateway, b"PROXY UNKNOWN\r\n").unwrap();
    gateway.get("/public/x").send_on(&mut connection).ok();
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_connection_that_does_not_begin_as_agreed_is_closed() {
    let (backend, gateway) = announcing(|config| config);
    let bad: [&[u8]; 5] = [
        b"",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n",
        b"PROXY TCP4 203.0.113.7.1 10.0.0.1 4711 443\r\n",
        &[b'P'; 200],
        &binary(0x21, [203, 0, 113, 7], &[])[..11],
    ];
    for preamble in bad {
        assert!(after(&gateway, preamble).is_err(), "{preamble:?}");
    }
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "proxy_protocol")], 5.0);
    backend.assert_untouched();
}

#[test]
fn from_others_no_proxy_protocol_header_is_taken() {
    let (backend, gateway) =
        world_with(|config| config.set("/listen/0/proxy_protocol", json!(["10.0.0.0/8", "192.0.2.1/32"])));
    assert!(after(&gateway, &line()).is_err());
    assert!(after(&gateway, &binary(0x21, [203, 0, 113, 7], &[])).is_err());
    backend.assert_untouched();
    assert_eq!(told(&backend, &gateway, gateway.get("/public/x").send()).0, "127.0.0.1");
}

#[test]
fn a_trusted_proxy_names_the_caller_of_each_request() {
    let (backend, gateway) = world_with(|config| {
        config
            .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8", "10.0.0.0/8"]))
            .set("/listen/0/allow", json!(["127.0.0.0/8", "203.0.113.0/24"]))
    });
    let mut connection = gateway.connect();
    let mut call = |forwarded: &[&str]| {
        let request = gateway.get("/public/x").header("X-Real-IP", "198.51.100.9");
        let request = forwarded.iter().fold(request, |request, value| request.header("X-Forwarded-For", value));
        request.send_on(&mut connection)
    };
    let told_of = |answer| told(&backend, &gateway, answer);
    let through = |chain: &str| Some(chain.to_owned());
    assert_eq!(told_of(call(&[CALLER])), (CALLER.into(), through("203.0.113.7, 127.0.0.1")));
    assert_eq!(
        told_of(call(&["198.51.100.1, 203.0.113.8", "10.0.0.2"])),
        ("203.0.113.8".into(), through("203.0.113.8, 10.0.0.2, 127.0.0.1")),
        "what the caller said itself is dropped"
    );
    assert_eq!(told_of(call(&[])), ("127.0.0.1".into(), through("127.0.0.1")));
    // One caller's refusal is not the end of the connection that others share.
    call(&["198.51.100.1"]).expect(403, "403-04");
    call(&["203.0.113.7, nobody"]).expect(400, "400-01");
    assert_eq!(told_of(call(&[CALLER])).0, CALLER);
    assert_eq!(backend.requests().last().unwrap().header("X-Real-IP"), None);
}

#[test]
fn attempts_and_limits_count_the_caller_behind_a_trusted_proxy() {
    let (_backend, gateway) = world_with(|config| {
        config
            .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
            .set("/login/attempts", json!({"free": 1, "free_per_address": 1, "delay": "60s", "longest": "60s"}))
            .route("public", "limits", json!({"rate": "1/h", "per": "address"}))
    });
    let try_from = |address: &str, password: &str| {
        gateway.login_request(ALICE.name, password).header("X-Forwarded-For", address).send().status
    };
    assert_eq!([try_from(CALLER, "wrong"), try_from(CALLER, "wrong")], [401, 401]);
    assert_eq!(try_from(CALLER, ALICE.secret), 429);
    assert_eq!(try_from("203.0.113.8", ALICE.secret), 200);
    let call_from = |address: &str| gateway.get("/public/x").header("X-Forwarded-For", address).send().status;
    assert_eq!([call_from(CALLER), call_from(CALLER), call_from("203.0.113.8")], [200, 429, 200]);
}

#[test]
fn the_scheme_that_a_trusted_proxy_names_reaches_backends_and_that_of_others_does_not() {
    let plain = |config: Config| config.without("/listen/0/tls");
    let call = |trusted: Value| {
        let (backend, gateway) = world_with(|config| plain(config).set("/listen/0/trusted_proxies", trusted));
        let request = gateway.get("/public/x").header("X-Forwarded-Proto", "https");
        request.send_on(&mut Connection::plain(gateway.address)).ok();
        backend.requests()[0].header("X-Forwarded-Proto").unwrap().to_owned()
    };
    assert_eq!(call(json!(["127.0.0.1/32"])), "https");
    assert_eq!(call(json!(["10.0.0.1/32"])), "http");
}

#[test]
fn a_proxy_that_is_everyone_is_a_load_error() {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .set("/listen/0/proxy_protocol", json!(["0.0.0.0/0"]))
        .set("/listen/0/trusted_proxies", json!(["10.0.0.0/8", "::/0"]));
    let (code, _, said) = gateway::Workspace::new(&config).run(&["check"]);
    assert_eq!(code, 1);
    assert!(said.contains("0.0.0.0/0 is everyone") && said.contains("::/0 is everyone"), "{said}");
}

#[test]
fn a_backend_is_told_by_the_proxy_protocol_who_calls() {
    let backend = Backend::start();
    let behind =
        |config: Config| config.without("/listen/0/tls").set("/listen/0/proxy_protocol", json!(["127.0.0.1/32"]));
    let second = Gateway::start(&behind(Config::new(&backend)));
    for version in ["v1", "v2"] {
        let first = Gateway::start(
            &Config::with_server(&format!("http://{}", second.address))
                .set("/listen/0/trusted_proxies", json!(["127.0.0.1/32"]))
                .set("/backends/legacy/proxy_protocol", json!(version))
                .set("/backends/legacy/health_check", json!({"path": "/public/health", "interval": "1h"})),
        );
        let mut connection = first.connect();
        for caller in [CALLER, "2001:db8::7", "198.51.100.9"] {
            let request = first.get("/public/x").header("X-Forwarded-For", caller);
            let answer = request.send_on(&mut connection).ok();
            let line = second.access_line(answer.header("X-Request-Id").unwrap());
            assert_eq!(line["client_address"], caller, "{version}");
        }
    }
    // A check is the gateway's own.
    let checks = || second.stdout.all().iter().filter(|line| line.contains("127.0.0.1")).count();
    let until = Instant::now() + DEADLINE;
    while checks() < 2 {
        assert!(Instant::now() < until, "{:?}", second.stdout.all());
        std::thread::yield_now();
    }
    assert_eq!(checks(), 2);
}

/// A real HAProxy in front, which announces each connection.
struct Haproxy {
    child: Child,
    address: std::net::SocketAddr,
    directory: std::path::PathBuf,
}

impl Haproxy {
    fn start(gateway: &Gateway, how: &str) -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = gateway.files.path.join(how);
        std::fs::create_dir_all(&directory).unwrap();
        let text = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n\
             listen front\n bind {address}\n server gateway {} source 127.0.0.1 {how}\n",
            gateway.address
        );
        let file = directory.join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let child = Command::new("haproxy").args(["-db", "-f"]).arg(&file).stdin(Stdio::null()).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("cannot run haproxy ({error}): install the Debian package haproxy"));
        let until = Instant::now() + DEADLINE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "HAProxy does not listen");
            std::thread::yield_now();
        }
        Self { child, address, directory }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

#[test]
fn haproxy_tells_who_calls_in_both_versions() {
    let (_backend, gateway) = world_with(|config| config.set("/listen/0/proxy_protocol", json!(["127.0.0.1/32"])));
    for how in ["send-proxy", "send-proxy-v2"] {
        let haproxy = Haproxy::start(&gateway, how);
        let ca = gateway.files.path.join("certs/ca.pem");
        let url = format!("https://localhost:{}/public/{how}", haproxy.address.port());
        let args =
            ["-sS", "-i", "--ipv4", "--http1.1", "--interface", "127.0.0.9", "--cacert", ca.to_str().unwrap(), &url];
        let output = program("curl", "curl", &args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "))
            .unwrap_or_else(|| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(gateway.access_line(id.trim())["client_address"], "127.0.0.9", "{how}");
    }
}

/// The server block around this location, which leads to the gateway.
fn nginx_in_front(location: &str, gateway: SocketAddr) -> OtherProxy {
    let location = location.replace("127.0.0.1:8080", &gateway.to_string());
    OtherProxy::nginx(|own| format!("server {{ listen {own}; {location} }}"))
}

#[test]
fn behind_the_documented_nginx_wrong_passwords_of_one_customer_lock_out_nobody_else() {
    let text = include_str!("../../../docs/configuration.md");
    let location = text.split_once("```nginx\n").unwrap().1.split_once("```").unwrap().0;
    let (_backend, gateway) = world_with(|config| {
        config
            .set("/listen", json!([{"address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1/32"]}]))
            .set("/login/attempts", json!({"free": 1, "free_per_address": 2, "delay": "60s", "longest": "60s"}))
            .set("/access_token/attempts", json!({"free": 1, "free_per_address": 2, "delay": "60s", "longest": "60s"}))
    });
    let nginx = nginx_in_front(location, gateway.address);
    let send = |source: &str, request: Request| {
        let request = Request { address: nginx.address, ..request };
        request.send_on(&mut Connection::plain_from(source, nginx.address)).status
    };
    let log_in = |source: &str, password: &str| send(source, gateway.login_request(ALICE.name, password));
    assert_eq!([(); 3].map(|()| log_in("127.0.0.9", "wrong")), [401, 401, 429]);
    assert_eq!((log_in("127.0.0.9", ALICE.secret), log_in("127.0.0.8", ALICE.secret)), (429, 200));
    let ask = |source: &str, secret: &str| send(source, gateway.token_request(CLIENT.name, secret));
    // The same wrong secret again would be no other guess.
    assert_eq!(["one", "two", "three"].map(|secret| ask("127.0.0.9", secret)), [401, 401, 429]);
    assert_eq!(ask("127.0.0.8", CLIENT.secret), 200);
}

#[test]
fn check_warns_where_all_callers_of_a_login_come_from_the_address_of_one_proxy() {
    let backend = Backend::start();
    let check = |config: Config| gateway::Workspace::new(&config).run(&["check"]);
    let listening = |listen: Value| Config::new(&backend).set("/listen", json!([listen]));
    let (code, _, complained) = check(listening(json!({"address": "127.0.0.1:0"})));
    assert!(code == 0 && complained.contains("listen[0]") && complained.contains("trusted_proxies"), "{complained}");
    let trusting = json!({"address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1/32"]});
    let announced = json!({"address": "127.0.0.1:0", "proxy_protocol": ["127.0.0.1/32"]});
    let tls = Config::new(&backend).yaml["listen"][0].clone();
    for listen in [trusting, announced, tls] {
        let (code, _, complained) = check(listening(listen));
        assert_eq!((code, complained.as_str()), (0, ""));
    }
}
