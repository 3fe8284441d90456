//! Servers that are configured by DNS name: lookups that fail, hang or change.

use crate::harness::*;

/// Two servers on one port of two addresses, and a gateway that knows them by a name that `hosts` resolves.
fn named(hosts: &str) -> (Backend, Backend, Gateway) {
    let one = Backend::start();
    let other = Backend::start_at(&format!("127.0.0.2:{}", one.address.port()));
    let config = Config::with_server(&format!("http://app.test:{}", one.address.port()))
        .set("/backends/legacy/danger_plaintext", json!(true))
        .set("/backends/legacy/resolve", json!({"interval": "50ms"}))
        .file("hosts", hosts);
    (one, other, Gateway::start_with_hosts(&config))
}

/// Calls until the condition holds; each call must be answered.
#[track_caller]
fn call_until(gateway: &Gateway, condition: impl Fn() -> bool) {
    let until = std::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < until);
        gateway.get("/public/x").send().ok();
    }
}

#[test]
fn requests_follow_a_dns_change_and_none_is_lost() {
    let (one, other, gateway) = named("127.0.0.1 app.test\n");
    (0..10).for_each(|_| drop(gateway.get("/public/x").send().ok()));
    assert_eq!((one.requests().len(), other.requests().len()), (10, 0));
    gateway.files.write("hosts", "127.0.0.2 app.test\n");
    call_until(&gateway, || !other.requests().is_empty());
    one.forget();
    (0..10).for_each(|_| drop(gateway.get("/public/x").send().ok()));
    assert_eq!(one.requests().len(), 0);
    gateway.expect_metric("wicketgate_backend_server_up", &[("backend", "legacy")], 1.0);
}

#[test]
fn each_address_of_a_name_is_a_server() {
    let (one, other, gateway) = named("127.0.0.1 app.test\n127.0.0.2 app.test\n");
    (0..40).for_each(|_| drop(gateway.get("/public/x").send().ok()));
    assert!(one.requests().len() >= 5 && other.requests().len() >= 5);
    other.stop();
    (0..10).for_each(|_| drop(gateway.get("/public/x").send().ok()));
}

#[test]
fn a_failed_dns_lookup_keeps_the_previous_addresses() {
    let (one, _other, gateway) = named("127.0.0.1 app.test\n");
    gateway.files.write("hosts", "127.0.0.1 localhost\n");
    let line = gateway.stderr.wait(|line| line["name"] == "app.test").unwrap();
    assert_eq!(line["message"], "DNS lookup failed; keeping the previous addresses");
    (0..10).for_each(|_| drop(gateway.get("/public/x").send().ok()));
    assert_eq!(one.requests().len(), 10);
}

#[test]
fn a_dns_name_without_addresses_is_502_until_it_has_one() {
    let (one, _other, gateway) = named("127.0.0.1 localhost\n");
    gateway.get("/public/x").send().expect(502, "502-01");
    gateway.files.write("hosts", "127.0.0.1 app.test\n");
    gateway.expect_metric("wicketgate_backend_server_up", &[("backend", "legacy")], 1.0);
    gateway.get("/public/x").send().ok();
    assert_eq!(one.requests().len(), 1);
}

#[test]
fn a_slow_dns_lookup_delays_no_other_name() {
    // A server of names that never answers.
    let silent = std::net::UdpSocket::bind("127.77.0.1:53").unwrap();
    let one = Backend::start();
    let port = one.address.port();
    let other = Backend::start_at(&format!("127.0.0.2:{port}"));
    let server = |name: &str| format!("http://{name}.test:{port}");
    let mut config = Config::with_server(&server("app"))
        .set("/backends/legacy/servers", json!([server("slow"), server("app")]))
        .set("/backends/legacy/danger_plaintext", json!(true))
        .set("/backends/legacy/resolve", json!({"interval": "50ms"}))
        .file("resolv.conf", "nameserver 127.77.0.1\noptions timeout:15 attempts:2\n")
        .file("hosts", "127.0.0.1 app.test\n");
    for number in 0..6 {
        let servers = json!([server(&format!("slow{number}"))]);
        config = config.set(&format!("/backends/slow{number}"), json!({"servers": servers, "danger_plaintext": true}));
    }
    // It starts all the same, and knows what can be known.
    let gateway = Gateway::start_with_hosts(&config);
    gateway.get("/public/x").send().ok();
    assert_eq!((one.requests().len(), other.requests().len()), (1, 0));
    gateway.files.write("hosts", "127.0.0.2 app.test\n");
    call_until(&gateway, || !other.requests().is_empty());
    drop(silent);
}

#[test]
fn hanging_dns_lookups_delay_neither_the_start_nor_logins() {
    // A server of names that never answers; the system asks it for much longer than this test may take.
    let silent = std::net::UdpSocket::bind("127.77.0.2:53").unwrap();
    let backend = Backend::start();
    let mut config = Config::new(&backend)
        .file("hosts", "127.0.0.1 localhost\n")
        .file("resolv.conf", "nameserver 127.77.0.2\noptions timeout:30 attempts:5\n");
    for number in 0..8 {
        let url = format!("https://partner{number}.test/jwks.json");
        config.yaml["clients"].as_array_mut().unwrap().push(json!({"id": format!("partner{number}"), "jwks": url}));
        let servers = json!([format!("http://slow{number}.test:80")]);
        config = config.set(&format!("/backends/slow{number}"), json!({"servers": servers, "danger_plaintext": true}));
    }
    let gateway = Gateway::start_with_hosts(&config);
    for number in 0..8 {
        let name = format!("slow{number}.test");
        gateway.stderr.wait(|line| line["names"] == *name).unwrap_or_else(|| panic!("nothing says that {name} hangs"));
    }
    // All of them are being looked up now, and passwords and secrets are hashed all the same.
    gateway.login(ALICE);
    gateway.token(CLIENT);
    gateway.profile().send().ok();
    // So are they while a reload comes, which waits for them as little.
    gateway.reload(&config.without("/api_keys/2"), "reloaded");
    gateway.login(BOB);
    drop(silent);
}

#[test]
fn while_the_dns_lookup_of_redis_hangs_its_previous_address_is_used() {
    // A server of names that never answers; the system asks it for much longer than this test may take.
    let silent = std::net::UdpSocket::bind("127.77.0.3:53").unwrap();
    let redis = RedisServer::start();
    let network = NetworkLink::to(redis.port, std::time::Duration::ZERO);
    let settings = json!({"url": format!("redis://redis.test:{}", network.port), "danger_plaintext": true});
    let config = Config::new(&Backend::start())
        .set("/state/redis", settings)
        .file("certs/identifier.key", &keys::key_file())
        .file("hosts", "127.0.0.1 redis.test\n")
        .file("resolv.conf", "nameserver 127.77.0.3\noptions timeout:30 attempts:5\n");
    let gateway = Gateway::start_with_hosts(&config);
    gateway.is_ready();
    gateway.files.write("hosts", "127.0.0.1 localhost\n");
    network.cut();
    gateway.stderr.wait(|line| line["message"] == "the state store is there again").unwrap();
    gateway.expect_metric("wicketgate_state_up", &[], 1.0);
    drop(silent);
}
