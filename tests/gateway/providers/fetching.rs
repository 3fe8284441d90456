//! Fetching: proxies, addresses that swallow packets, gzip, 429.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use rcgen::ExtendedKeyUsagePurpose;

use crate::harness::identity_provider::{IdentityProvider, token};
use crate::harness::keys::{TokenKey, base64, certificate};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

const ISSUER: &str = "https://login.example.com";

/// A proxy that leads every host to one server, as somebody who looks up names for itself.
struct EgressProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl EgressProxy {
    /// `authorization`: the `Proxy-Authorization` without which it answers 407.
    fn start(server: SocketAddr, authorization: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, authorization) = (Arc::clone(&seen), authorization.clone());
                thread::spawn(move || relay(stream, server, &seen, authorization.as_deref()));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn relay(mut caller: TcpStream, server: SocketAddr, seen: &Mutex<Vec<String>>, authorization: Option<&str>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match caller.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    seen.lock().unwrap().push(head.clone());
    let shown =
        head.lines().find_map(|line| line.to_lowercase().starts_with("proxy-authorization: ").then(|| &line[21..]));
    if authorization.is_some() && shown != authorization {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n";
        caller.write_all(answer.as_bytes()).ok();
        return;
    }
    let mut server = TcpStream::connect(server).unwrap();
    if head.starts_with("CONNECT ") {
        caller.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 egress\r\n\r\n").unwrap();
    } else {
        let (method, rest) = head.split_once(" http://").unwrap();
        let path = &rest[rest.find('/').unwrap()..];
        server.write_all(format!("{method} {path}").as_bytes()).unwrap();
    }
    let (mut from, mut to) = (caller.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(std::net::Shutdown::Write).ok();
    });
    std::io::copy(&mut server, &mut caller).ok();
    caller.shutdown(std::net::Shutdown::Write).ok();
}

fn issuer_at(config: Config, url: &str) -> Config {
    config.set(
        "/trusted_issuers",
        json!([{
            "issuer": ISSUER, "jwks": url, "audiences": ["legacy-api"], "algorithms": ["ES256"],
            "refresh": {"interval": "1s", "cooldown": "300ms", "timeout": "2s"},
        }]),
    )
}

#[track_caller]
fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

/// The gateway of a configuration, with this in its environment.
fn gateway_in(config: &Config, environment: &[(&str, String)]) -> Gateway {
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.into())).collect();
    Gateway::start_with(Arc::new(gateway::Workspace::new(config)), config.signing_key.clone(), &environment)
}

/// An issuer by https whom only a proxy can reach: no name server knows its name.
fn behind_a_proxy(key: &TokenKey) -> IdentityProvider {
    let pair = certificate(&["login.example.test"], ExtendedKeyUsagePurpose::ServerAuth);
    IdentityProvider::start_tls_as(&pair, &[key.jwk("one")])
}

const BEHIND: &str = "https://login.example.test/jwks";

#[test]
fn keys_come_through_the_proxy_of_an_issuer_which_looks_up_the_name() {
    let key = TokenKey::generate();
    let provider = behind_a_proxy(&key);
    let basic = format!("Basic {}", base64(b"wicketgate:hunter2: x"));
    let proxy = EgressProxy::start(provider.address, Some(basic.clone()));
    let section = json!({
        "url": format!("http://{}", proxy.address), "username": "wicketgate", "password": {"file": "certs/proxy"},
    });
    let backend = Backend::start();
    let config = issuer_at(Config::new(&backend), BEHIND)
        .set("/trusted_issuers/0/ca", json!("certs/ca.pem"))
        .set("/trusted_issuers/0/proxy", section)
        .file("certs/proxy", "hunter2: x\n");
    let gateway = Gateway::start(&config);
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    let head = proxy.heads()[0].to_lowercase();
    assert!(head.starts_with("connect login.example.test:443 http/1.1\r\nhost: login.example.test:443\r\n"), "{head}");
    assert!(!provider.heads()[0].to_lowercase().contains("proxy-authorization"), "it is the proxy's alone");
    // With another password nothing goes through, and the reason is told without it.
    let gateway = Gateway::start(&config.file("certs/proxy", "wrong1234"));
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 503);
    assert!(gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "proxy")]) >= 1.0);
    let said = gateway.stderr.all().join("\n");
    assert!(said.contains("answers 407"), "{said}");
    assert!(!said.contains("wrong1234") && !said.contains(&base64(b"wicketgate:wrong1234")), "{said}");
}

#[test]
fn the_proxies_of_the_environment_are_used_but_for_no_proxy_and_for_this_machine() {
    let key = TokenKey::generate();
    let provider = behind_a_proxy(&key);
    let proxy = EgressProxy::start(provider.address, None);
    let backend = Backend::start();
    let config = issuer_at(Config::new(&backend), BEHIND).set("/trusted_issuers/0/ca", json!("certs/ca.pem"));
    let named = |name| (name, format!("http://user:p%40ss@{}", proxy.address));
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let gateway = gateway_in(&config, &[named(name)]);
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200, "{name}");
    }
    let shown = format!("proxy-authorization: basic {}", base64(b"user:p@ss").to_lowercase());
    assert!(proxy.heads().iter().all(|head| head.to_lowercase().contains(&shown)), "{:?}", proxy.heads());
    let count = proxy.heads().len();
    for direct in ["login.example.test", ".example.test", "a.test, *", "example.test:443"] {
        let gateway = gateway_in(&config, &[named("HTTPS_PROXY"), ("NO_PROXY", direct.to_owned())]);
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 503, "{direct}");
    }
    let gateway = gateway_in(&config.clone().set("/trusted_issuers/0/proxy", json!("none")), &[named("HTTPS_PROXY")]);
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 503);
    // What is here is reached from here.
    let here = IdentityProvider::start_tls(&[key.jwk("one")]);
    let url = format!("https://localhost:{}/jwks", here.address.port());
    let config = issuer_at(Config::new(&backend), &url).set("/trusted_issuers/0/ca", json!("certs/ca.pem"));
    let gateway = gateway_in(&config, &[named("HTTPS_PROXY")]);
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    assert_eq!(proxy.heads().len(), count, "{:?}", proxy.heads());
    // A proxy that is not spoken to is told where it is needed, and stops no start.
    let config = issuer_at(Config::new(&backend), BEHIND).set("/trusted_issuers/0/ca", json!("certs/ca.pem"));
    let gateway = gateway_in(&config, &[("HTTPS_PROXY", "socks5://user:hunter2@127.0.0.1:1".to_owned())]);
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 503);
    let said = gateway.stderr.all().join("\n");
    assert!(said.contains("the environment variable HTTPS_PROXY: only proxies at http://"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn key_sets_of_clients_and_tokens_of_backends_go_through_the_proxy_of_the_environment_too() {
    let server = Backend::start();
    server.on(
        "/token",
        Behaviour::json(200, &json!({"access_token": "tok-1", "token_type": "Bearer", "expires_in": 3600})),
    );
    let proxy = EgressProxy::start(server.address, None);
    let backend = Backend::start();
    let oauth = json!({
        "token_url": "http://tokens.example.test/token", "client_id": "gateway", "danger_plaintext": true,
        "client_secret": {"file": "certs/secret"},
    });
    let mut config = Config::new(&backend)
        .set("/backends/legacy/authorization", json!({"oauth": oauth}))
        .file("certs/secret", "s3cret");
    let client = json!({"id": "partner", "jwks": "https://partner.example.test/jwks.json"});
    config.yaml["clients"].as_array_mut().unwrap().push(client);
    let named = |name| (name, format!("http://{}", proxy.address));
    let gateway = gateway_in(&config, &[named("http_proxy"), named("https_proxy")]);
    gateway.get("/public/x").send().ok();
    assert_eq!(backend.last().header("Authorization"), Some("Bearer tok-1"));
    let heads = proxy.heads();
    assert!(
        heads.iter().any(|head| head.starts_with("POST http://tokens.example.test/token HTTP/1.1\r\n")),
        "{heads:?}"
    );
    assert!(heads.iter().any(|head| head.starts_with("CONNECT partner.example.test:443 ")), "{heads:?}");
}

#[test]
fn a_document_leads_through_a_proxy_neither_to_private_addresses_nor_to_plain_http() {
    let key = TokenKey::generate();
    let other = IdentityProvider::start(&[key.jwk("one")]);
    let provider = IdentityProvider::start(&[]);
    let issuer = format!("http://{}", provider.address);
    let proxy = EgressProxy::start(provider.address, None);
    for uri in [
        "https://10.0.0.1/jwks".to_owned(),
        "https://169.254.169.254/jwks".to_owned(),
        "https://[fd00::1]/jwks".to_owned(),
        "https://intranet/jwks".to_owned(),
        "https://localhost/jwks".to_owned(),
        format!("http://localhost:{}/jwks", other.address.port()),
    ] {
        provider.metadata("/.well-known/openid-configuration", json!({"issuer": issuer, "jwks_uri": uri}));
        let (_backend, gateway) = world_with(|config| {
            let entry = json!({
                "issuer": issuer, "discovery": true, "audiences": ["legacy-api"], "algorithms": ["ES256"],
                "danger_plaintext": true, "proxy": format!("http://{}", proxy.address),
            });
            config.set("/trusted_issuers", json!([entry]))
        });
        assert_eq!(status(&gateway, &token(&key, "one", &issuer, "ann")), 503, "{uri}");
        assert!(
            gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "address")]) >= 1.0,
            "{uri}\n{}",
            gateway.stderr.all().join("\n")
        );
        provider.forget_metadata();
    }
    assert!(proxy.heads().iter().all(|head| head.contains(".well-known")), "{:?}", proxy.heads());
}

#[test]
fn keys_come_through_the_proxy_of_apache() {
    let key = TokenKey::generate();
    let provider = IdentityProvider::start_tls(&[key.jwk("one")]);
    let lines = format!("ProxyRequests On\nProxyVia On\nAllowCONNECT {}\n", provider.address.port());
    let proxy = Neighbour::apache(&["proxy", "proxy_http", "proxy_connect"], &lines);
    let url = format!("https://localhost:{}/jwks", provider.address.port());
    let (_backend, gateway) = world_with(|config| {
        issuer_at(config, &url)
            .set("/trusted_issuers/0/ca", json!("certs/ca.pem"))
            .set("/trusted_issuers/0/proxy", json!(proxy.url()))
    });
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200);
    eventually("Apache has logged it", || {
        proxy.requests().iter().any(|line| line.starts_with(&format!("CONNECT localhost:{}", provider.address.port())))
    });
    // A port that it does not connect to.
    let other = IdentityProvider::start_tls(&[key.jwk("one")]);
    let url = format!("https://localhost:{}/jwks", other.address.port());
    let (_backend, gateway) = world_with(|config| {
        issuer_at(config, &url)
            .set("/trusted_issuers/0/ca", json!("certs/ca.pem"))
            .set("/trusted_issuers/0/proxy", json!(proxy.url()))
    });
    assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 503);
    assert!(gateway.stderr.all().join("\n").contains("answers 403 to CONNECT"));
    assert_eq!(other.asked(), 0);
}

/// Nobody takes connections from it, and its backlog is full: further packets get no answer.
fn swallowing(address: &str) -> (socket2::Socket, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let address: SocketAddr = address.parse().unwrap();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let fill = |_| {
        let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.connect(&address.into()).ok();
        stream
    };
    let held = (0..4).map(fill).collect();
    (listener, held)
}

#[test]
fn an_address_that_swallows_packets_delays_the_others_of_its_name_by_a_moment() {
    for (live, dead) in [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")] {
        let key = TokenKey::generate();
        let provider = IdentityProvider::start_at(&format!("{live}:0"), &[key.jwk("one")]);
        let port = provider.address.port();
        let _silent = swallowing(&format!("{dead}:{port}"));
        let backend = Backend::start();
        let config = issuer_at(Config::new(&backend), &format!("http://idp.test:{port}/jwks"))
            .set("/trusted_issuers/0/danger_plaintext", json!(true))
            .file("hosts", "127.0.0.1 idp.test\n127.0.0.2 idp.test\n");
        let gateway = Gateway::start_with_hosts(&config);
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), 200, "{live}");
        eventually("further fetches", || {
            gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", "ok")]) >= 2.0
        });
        gateway.expect_metric("wicketgate_issuer_fetches_total", &[("outcome", "timeout")], 0.0);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_asked_for_and_read_and_neither_a_bomb_nor_another_coding() {
    let key = TokenKey::generate();
    let set = json!({"keys": [key.jwk("one")]}).to_string();
    for (coding, body, outcome) in [
        ("gzip", gzip(set.as_bytes()), "ok"),
        ("x-gzip", gzip(set.as_bytes()), "ok"),
        ("identity", set.clone().into_bytes(), "ok"),
        ("gzip", gzip(&vec![b' '; 300_000_000]), "too_large"),
        ("gzip", set.clone().into_bytes(), "encoding"),
        ("gzip", gzip(set.as_bytes())[..40].to_vec(), "encoding"),
        ("br", set.clone().into_bytes(), "encoding"),
        ("gzip, gzip", gzip(&gzip(set.as_bytes())), "encoding"),
    ] {
        let provider = IdentityProvider::start(&[]);
        provider.publish_answer("200 OK", &format!("Content-Encoding: {coding}\r\n"), &body);
        let (_backend, gateway) = world_with(|config| issuer_at(config, &provider.jwks_url()));
        let expected = if outcome == "ok" { 200 } else { 503 };
        assert_eq!(status(&gateway, &token(&key, "one", ISSUER, "ann")), expected, "{coding} {outcome}");
        assert!(
            gateway.metric("wicketgate_issuer_fetches_total", &[("outcome", outcome)]) >= 1.0,
            "{coding} {outcome}\n{}",
            gateway.metrics()
        );
        let head = provider.heads()[0].to_lowercase();
        assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
    }
}

#[test]
fn check_refuses_proxies_that_cannot_be_used_and_passwords_in_the_file() {
    let backend = Backend::start();
    for (proxy, cause) in [
        (json!("http://user:hunter2@proxy.example.com:3128"), "a password does not belong"),
        (json!("socks5://proxy.example.com:1080"), "http:// or https://"),
        (json!("https://proxy.example.com:3128"), "only proxies at http://"),
        (json!("http://proxy.example.com"), "the port of the proxy is missing"),
        (json!("proxy.example.com:3128"), "not an http or https address"),
        (json!("http://proxy.example.com:3128/pac"), "has no path"),
        (
            json!({"url": "http://proxy.example.com:3128", "username": "a:b", "password": {"file": "certs/proxy"}}),
            "colon",
        ),
        (
            json!({"url": "http://proxy.example.com:3128", "username": "a", "password": {"file": "none"}}),
            "proxy.password",
        ),
    ] {
        let config = issuer_at(Config::new(&backend), BEHIND)
            .set("/trusted_issuers/0/proxy", proxy.clone())
            .file("certs/proxy", "hunter2");
        let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
        assert!(
            code == 1 && complained.contains(cause) && complained.contains("trusted_issuers[0].proxy"),
            "{complained}"
        );
        assert!(!complained.contains("hunter2:") && !complained.contains(":hunter2"), "{complained}");
    }
    let config = issuer_at(Config::new(&backend), "http://127.0.0.1:1/jwks")
        .set("/trusted_issuers/0/proxy", json!("http://proxy.example.com:3128"));
    let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
    assert!(code == 1 && complained.contains("danger_plaintext"), "{complained}");
}

/// The examples of these sections of the page.
fn examples(sections: &[&str]) -> Vec<String> {
    let page = include_str!("../../../docs/identity-providers.md");
    let mut examples = Vec::new();
    for section in page.split("\n## ").filter(|text| sections.iter().any(|name| text.starts_with(&format!("{name}\n"))))
    {
        examples.extend(section.split("```yaml\n").skip(1).map(|text| text.split("```").next().unwrap().to_owned()));
    }
    examples
}

#[test]
fn the_examples_of_fetching_and_opaque_tokens_are_good() {
    let examples = examples(&["Fetching", "Opaque tokens"]);
    assert_eq!(examples.len(), 3);
    let backend = Backend::start();
    for example in examples {
        let files = gateway::Workspace::new(
            &Config::new(&backend)
                .file("certs/proxy-password", "hunter2")
                .file("certs/introspection-secret", "hunter3"),
        );
        let text = std::fs::read_to_string(files.config()).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let keys = config.as_object().unwrap().iter().filter(|(key, _)| *key != "trusted_issuers");
        let rest: String = keys.map(|(key, value)| format!("{key}: {value}\n")).collect();
        files.write("gateway.yaml", &(rest + &example));
        let (code, _, complained) = files.run(&["check"]);
        assert_eq!(code, 0, "{example}\n{complained}");
    }
}
